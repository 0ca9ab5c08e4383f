"""The page: what stands in it, that nothing in a record can break it, and how a browser shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from emoprune import events
from emoprune.pruning.types import PruningStep
from emoprune.reporting.charts import by_kind
from emoprune.reporting.documents import Document, Heading
from emoprune.reporting.sections import report
from emoprune.reporting.types import ChangeChart, HeatChart, ReportConfig, Runs
from tests.support.answers import answers
from tests.support.browser import Page, Scheme, browsing, needs_browser
from tests.support.runs import curve, pruning
from tests.support.sweeps import measured, swept

LARGEST = 5_000_000
HOSTILE = (
    "<script>alert(1)</script>",
    '"quo\'tes"&amp; --><!--',
    "\u202eright to left\u202c",
    "\u05e9\u05de\u05d7 (\u05d5\u05e2\u05e6\u05d5\u05d1)",
    "line\nbreak\x1b[31m",
    "x" * 200,
    "{{ 7*7 }} {% raw %}",
)
STEPS = [PruningStep(units, loss=1 / units, accuracy=units / 20) for units in range(12, 4, -1)]
EVERYTHING = Runs(
    swept(split="test", test_looks=4), (curve("a", (0.5, 0.4), (0.6, 0.45)),), (pruning("sum", *STEPS),)
)
STRANGE = Runs(
    tuple(
        measured(name, 0.5, macs=1000 + place, classes=HOSTILE, data=name, settings={name: name})
        for place, name in enumerate(HOSTILE)
    ),
    (curve(HOSTILE[0], (0.5, 0.4)),),
)
ONE = measured("one", 1, classes=("happy",), n=1, confusion=((1,),), accuracy=1.0, settings={})
ONE = replace(ONE, per_class={"happy": replace(ONE.per_class["happy"], support=1)})


NOTE = "Of drawn faces,\nand of no others.\n\n<b>Not</b> of photos."


def page(runs: Runs, config: ReportConfig | None = None, **more: object) -> str:
    made = Document(report(runs, config or ReportConfig()), runs, **more)  # type: ignore[arg-type]
    return made.text("html")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages by name, read only."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "b.csv").write_bytes(answers("base", "ab" * 20, labels="ab" * 20).to_bytes())
    config = ReportConfig(baseline=str(folder / "b.csv"))
    compared = Runs((), (), (), (answers("other", "aabb" * 10, labels="ab" * 20),))
    commands = ("emoprune report runs.json --output page.html", "# " + "x" * 300)
    texts = {
        "everything": page(EVERYTHING, heading=Heading("Pruning on faces", NOTE), commands=commands),
        "strange": page(STRANGE, heading=Heading(HOSTILE[0] + HOSTILE[2] + HOSTILE[5], HOSTILE[0])),
        "one": page(Runs((ONE,))),
        "compared": page(compared, config),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text)
    return {name: folder / f"{name}.html" for name in texts}


class Reader(HTMLParser):
    """The tags of a page, and the ids that it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def values(self, *names: str) -> Iterator[str]:
        """The values of some attributes of all tags."""
        for _, attributes in self.tags:
            yield from (value for name in names if (value := attributes.get(name)) is not None)


NAMES = ("everything", "strange", "one", "compared")


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_unique_and_what_refers_to_them_finds_them(pages: dict[str, Path], name: str) -> None:
    text = pages[name].read_text()
    found = Reader(text)
    ids = [*found.values("id")]
    assert len(ids) == len(set(ids))
    used = {value.removeprefix("#") for value in found.values("href") if value.startswith("#")}
    used |= {*found.values("aria-labelledby"), *re.findall(r"url\(#([^)]+)\)", text)}
    assert used <= {*ids}


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_no_script_and_asks_for_nothing(pages: dict[str, Path], name: str) -> None:
    found = Reader(pages[name].read_text())
    assert not {tag for tag, _ in found.tags} & {"script", "link", "iframe", "object", "img", "base", "form"}
    assert not [key for _, attributes in found.tags for key in attributes if key.startswith("on")]
    links = [*found.values("href", "src", "xlink:href", "action")]
    assert all(link.startswith(("#", "data:image/png")) for link in links)


def test_the_page_shows_every_table_and_every_figure_with_its_numbers(pages: dict[str, Path]) -> None:
    text = pages["everything"].read_text()
    made = report(EVERYTHING)
    captions = re.findall(r"<caption[^>]*>(?:<bdi>)?(.*?)(?:</bdi>)?</caption>", text)
    assert {table.title for table in made.tables()} <= {caption.replace("<wbr>", "") for caption in captions}
    charts = [chart for found in by_kind(EVERYTHING).values() for chart in found]
    changes = [chart for chart in charts if isinstance(chart, ChangeChart)]
    # the confusion of a network that stands beside another one is not shown again
    shown = {counts for chart in changes for counts in (chart.before, chart.after)}
    charts = [chart for chart in charts if not (isinstance(chart, HeatChart) and chart.counts in shown)]
    assert text.count("<figure") == text.count('role="img"') == text.count("<figcaption>") == len(charts)
    assert text.count("<summary>Its numbers") == len(charts)
    order = [text.index(f'id="{name}"') for name in ("accuracy-and-cost", "what-was-removed", "who-pays")]
    order += [text.index('id="tables"'), text.index('id="measured"')]
    assert order == sorted(order)


def test_the_page_says_in_words_what_flatters_the_numbers(pages: dict[str, Path]) -> None:
    text = pages["everything"].read_text()
    warning = '<p class="warning"><strong>Warning:</strong> '
    assert f"{warning}The test part was looked at before, up to 4 times" in text
    # once in the headlines, and once by name below the first table
    assert text.count("looked at before") == 2
    assert "d" * 64 in text.partition('id="measured"')[2]
    assert "looked at before" not in pages["one"].read_text()


def test_the_same_runs_give_the_same_page(pages: dict[str, Path]) -> None:
    assert page(Runs((ONE,))) == pages["one"].read_text()


def test_drawing_shows_its_progress() -> None:
    works: list[events.Work] = []
    steps: list[int] = []

    @contextmanager
    def hook(work: events.Work) -> Iterator[events.Advance]:
        works.append(work)
        yield lambda steps_on=1, text=None: steps.append(steps_on)

    with events.showing(hook):
        text = page(Runs((ONE,)))
    assert works == [events.Work("figures", text.count("<figure"))]
    assert sum(steps) == works[0].total


def test_names_are_text_and_kept_to_themselves(pages: dict[str, Path]) -> None:
    text = pages["strange"].read_text()
    for foreign in ("<script", "\x1b", "\u202e"):
        assert foreign not in text
    assert "<bdi>{{ 7*7 }} {% raw %}</bdi>" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text.replace("<wbr>", "")
    assert "<bdi>\u05e9\u05de\u05d7 (\u05d5\u05e2\u05e6\u05d5\u05d1)</bdi>" in text


@pytest.mark.parametrize("sections", [("summary",), ("confusion",), ("curves", "steps")])
def test_sections_choose_tables_and_the_figures_about_them(sections: tuple[str, ...]) -> None:
    text = page(EVERYTHING, sections=sections)
    assert ("Accuracy against MACs" in re.sub("</?bdi>", "", text)) == ("summary" in sections)
    assert ("Precision by class" in text, "Learning curves" in text) == (False, "curves" in sections)


def test_a_sweep_of_50_networks_fits_into_5_megabytes() -> None:
    many = tuple(replace(run, label=f"{run.label} {copy}") for copy in range(4) for run in swept())[:50]
    assert len(page(Runs(many)).encode()) < LARGEST


CHECKS = """
(() => {
  for (const each of document.querySelectorAll('details')) each.open = true;
  const parts = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = rgb => rgb.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => {
    const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = each => {
    for (let at = each; at; at = at.parentElement) {
      const color = parts(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] > 0.99) return color;
    }
    return [255, 255, 255];
  };
  const below = text => {
    text.scrollIntoView({block: 'center', inline: 'center'});
    const box = text.getBoundingClientRect();
    const x = box.x + box.width / 2, y = box.y + box.height / 2;
    for (const each of document.elementsFromPoint(x, y)) {
      const style = getComputedStyle(each);
      if (each instanceof SVGGeometryElement && style.fill !== 'none' && style.fillOpacity > 0.99
          && style.opacity > 0.99) return parts(style.fill);
    }
    return behind(text);
  };
  const faint = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let count = 0;
  while (walker.nextNode()) {
    const each = walker.currentNode.parentElement, drawn = each.closest('svg');
    if (!walker.currentNode.textContent.trim() || !each.getClientRects().length) continue;
    const ink = parts(getComputedStyle(each)[drawn ? 'fill' : 'color']);
    const found = ratio(ink, drawn ? below(each) : behind(each));
    count += 1;
    if (found < 4.5) faint.push([each.tagName, walker.currentNode.textContent.trim().slice(0, 40), found]);
  }
  const all = name => [...document.querySelectorAll(name)];
  const named = each => (document.getElementById(each.getAttribute('aria-labelledby')) || {}).textContent;
  return {
    count, faint,
    overflow: document.scrollingElement.scrollWidth - innerWidth,
    headings: all('h1,h2,h3,h4').map(each => Number(each.tagName[1])),
    bare: all('table').filter(t => !t.querySelector('thead th[scope=col]') || !t.caption.textContent).length,
    unnamed: all('svg, .scroll, section').filter(each => !named(each)).length,
    unreachable: all('.scroll').filter(each => each.tabIndex !== 0).length,
    language: document.documentElement.lang,
  };
})()
"""


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    """A tab of the browser."""
    with browsing() as found:
        yield found


@needs_browser
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1600, "dark")])
@pytest.mark.parametrize("name", NAMES)
def test_a_browser_shows_the_page_readable_and_asks_for_nothing(
    tab: Page, pages: dict[str, Path], name: str, width: int, scheme: Scheme
) -> None:
    tab.open(pages[name], width=width, scheme=scheme)
    found = tab.value(CHECKS)
    assert found["count"] > 20
    assert found["faint"] == []
    assert found["overflow"] <= 0
    levels = found["headings"]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip([0, *levels], levels, strict=False))
    assert (found["bare"], found["unnamed"], found["unreachable"], found["language"]) == (0, 0, 0, "en")
    asked = {event["request"]["url"] for event in tab.of("Network.requestWillBeSent")}
    assert {url for url in asked if not url.startswith("data:")} == {pages[name].resolve().as_uri()}
    assert tab.of("Runtime.consoleAPICalled") + tab.of("Runtime.exceptionThrown") == []
    assert tab.of("Log.entryAdded") == []


@needs_browser
def test_the_keyboard_reaches_the_content_first(tab: Page, pages: dict[str, Path]) -> None:
    tab.open(pages["everything"], width=360)
    for kind in ("rawKeyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert tab.value("document.activeElement.textContent") == "Skip to the content"
    assert tab.value("document.activeElement.getBoundingClientRect().x") >= 0
