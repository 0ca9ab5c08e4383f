"""Which layers are measured at which widths, and what is kept of that for the next time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from emoprune.errors import EmopruneError
from emoprune.io.onnx_timing import LayerKind
from emoprune.networks.costs import layer_timing
from emoprune.networks.costs.latency import LatencyTable
from emoprune.networks.costs.layer_timing import cache_path, ladder, latency_tables, passing_bytes, read_cache
from emoprune.networks.graph import channel_graph

Point = tuple[LayerKind, int, int]


def test_ladder_has_multiples_of_a_block_and_the_whole_width() -> None:
    assert ladder(512) == (64, 128, 256, 384, 512)
    assert ladder(100) == (16, 32, 64, 80, 100)
    assert ladder(24) == (16, 24)
    assert ladder(7) == (7,)
    # four channels go together: 3 of 8 groups cannot be less than all
    assert ladder(128, 4) == (64, 128)


def test_passing_bytes_are_those_of_the_weights_as_a_power_of_two() -> None:
    for millions, mib in ((0.01, 1), (0.26, 1), (0.3, 2), (3, 16), (60, 64)):
        with torch.device("meta"):
            net = nn.Linear(1000, int(1000 * millions), bias=False)
        assert passing_bytes(net) == mib * 2**20


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Point]:
    """What is measured; each weight takes a microsecond, and the user's cache is empty."""
    points: list[Point] = []

    def layer_ms(kind: LayerKind, inputs: int, outputs: int, *, threads: int, others: int) -> float:
        points.append((kind, inputs, outputs))
        return inputs * outputs / 1000

    monkeypatch.setattr(layer_timing, "layer_ms", layer_ms)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return points


def tables(threads: int = 1) -> dict[str, LatencyTable]:
    """Those of a network with a stem, two equal convolutions, one with a stride, and a depthwise one."""
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(32, 32, (3, 1), (2, 1), padding=(1, 0)), nn.ReLU(), nn.Conv2d(32, 32, 3, groups=32)),
        *(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2)),
    ).eval()
    return latency_tables(net, (3, 8, 6), channel_graph(net, (3, 8, 6)), threads=threads)


def test_latency_tables_are_what_was_measured_of_each_layer(timed: list[Point]) -> None:
    found = tables()
    assert list(found) == [f"{number}.weight" for number in (0, 2, 4, 6, 8, 12)]
    for table in found.values():
        expected = torch.outer(torch.tensor(table.outputs), torch.tensor(table.inputs)) / 1000
        assert torch.allclose(table.ms, expected)
    # what pictures have and what classes there are stays; a depthwise convolution has one input a group
    assert (found["0.weight"].outputs, found["0.weight"].inputs) == ((16, 32), (3,))
    assert (found["8.weight"].outputs, found["8.weight"].inputs) == ((16, 32), (1,))
    assert (found["12.weight"].outputs, found["12.weight"].inputs) == ((2,), (16, 32))
    kinds = {kind for kind, *_ in timed}
    plain = LayerKind((8, 6), (3, 3), (1, 1), (1, 1), (1, 1))
    assert kinds == {
        plain,
        LayerKind((8, 6), (3, 1), (2, 1), (1, 0), (1, 1)),
        LayerKind((4, 6), (3, 3), (1, 1), (0, 0), (1, 1), group=1),
        LayerKind((1,)),
    }


def test_latency_tables_measure_equal_layers_once_and_none_that_the_cache_has(timed: list[Point]) -> None:
    first = tables()
    assert len(timed) == len(set(timed)) == 2 + 4 + 4 + 2 + 2
    again = tables()
    assert len(timed) == 14
    assert all(torch.equal(first[name].ms, again[name].ms) for name in first)


def other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    tables(threads=2)


def other_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_timing, "engine_name", lambda: "another processor, onnxruntime 1")
    tables()


def copied_from_another(monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = Path(cache_path("", 1) or "").parent.glob("*.json")
    path.write_bytes(path.read_bytes().replace(b'"threads": 1', b'"threads": 7'))
    tables()


def damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = Path(cache_path("", 1) or "").parent.glob("*.json")
    path.write_bytes(path.read_bytes()[:-9])
    tables()


@pytest.mark.parametrize("change", [other_threads, other_machine, copied_from_another, damaged])
def test_latency_tables_of_another_machine_are_measured_again(
    timed: list[Point], monkeypatch: pytest.MonkeyPatch, change: Callable[[pytest.MonkeyPatch], None]
) -> None:
    tables()
    change(monkeypatch)
    assert len(timed) == 28


def test_latency_tables_do_without_a_cache_that_cannot_be_written(
    timed: list[Point], tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file")
    assert len(tables()) == 6
    assert "the times of layers are not kept" in told.text


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[" * 10_000, "[]", '{"schema": "emoprune.latency/1"}'),
        '{"schema": "emoprune.latency/1", "engine": "a", "threads": 1, "ms": {"dense": -1.0}}',
        '{"schema": "emoprune.latency/0", "engine": "a", "threads": 1, "ms": {}}',
    ],
)
def test_read_cache_refuses_what_is_not_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "l.json").write_text(text)
    with pytest.raises(EmopruneError, match=r"l\.json: "):
        read_cache(str(tmp_path / "l.json"))


def test_cache_path_follows_the_user_and_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, other = cache_path("a", 1), cache_path("a", 2)
    assert one is not None
    assert one != other
    assert one.parent == tmp_path / "emoprune"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_path("a", 1) == tmp_path / "home" / ".cache" / "emoprune" / one.name
