"""Functions of users: found where they are, run only where they are named, their faults told in a line."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from emoprune.errors import BadCheckpoint, UsageFault
from emoprune.networks import build, heads
from emoprune.networks.sources.user_networks import check_named, imported, trusting
from emoprune.networks.types import Spec

MODULE = "tests.support.own_networks"


def spec_of(name: str, *, side: int = 12, hidden: tuple[int, ...] = (), **args: Any) -> Spec:
    spec = Spec(f"{MODULE}:{name}", 4, (3, side, side), hidden, args=args)
    return trusting(spec, spec.arch)


@pytest.fixture
def written(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the working folder, of a name that no other test has; what it runs it notes in a file."""
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each not in ("", str(in_folder))])
    name = f"nets_{in_folder.name}"
    lines = ("import pathlib", "pathlib.Path('ran').touch()", "print('hello')")
    (in_folder / f"{name}.py").write_text("\n".join((*lines, "class Nets:", "    make = staticmethod(len)")))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def test_imported_finds_a_module_in_the_working_folder_and_keeps_what_it_prints_off_the_data(
    written: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert imported(f"{written}:Nets.make") is len
    assert Path("ran").exists()
    assert capsys.readouterr() == ("", "hello\n")


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        ("import nothing_such", "make", "raises ModuleNotFoundError: No module named 'nothing_such'"),
        ("raise ValueError('bad\\nluck')", "make", "raises ValueError: bad;"),
        ("import sys; sys.exit(3)", "make", "raises SystemExit: 3"),
        ("def make(: pass", "make", "raises SyntaxError"),
        ("make = 3", "make", "make` is int, not a function"),
        ("make = 3", "create", "has no create"),
    ],
)
def test_imported_tells_in_a_line_why_there_is_no_function(
    written: str, text: str, name: str, says: str
) -> None:
    Path(f"{written}.py").write_text(text)
    with pytest.raises(UsageFault) as caught:
        imported(f"{written}:{name}")
    assert says in str(caught.value)
    assert written in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arch", ["no_such_module:make", "no_such_module.deeper:make", "tests.absent:make"])
def test_imported_names_the_module_that_is_not_there(arch: str) -> None:
    with pytest.raises(UsageFault, match=r"there is no module (no_such_module|tests\.absent); .*PYTHONPATH"):
        imported(arch)


def test_trusting_imports_only_what_the_user_names(written: str) -> None:
    spec = Spec(f"{written}:Nets.make", 3, (3, 8, 8))
    assert trusting(spec, None) is spec
    with pytest.raises(BadCheckpoint, match="not other:make"):
        trusting(spec, "other:make")
    with pytest.raises(BadCheckpoint, match=r"is made by nets_.*, which is code; give `arch=nets_.*` to run"):
        build.build(spec)
    with pytest.raises(BadCheckpoint, match="which is code"):
        build.restore(spec, {"weight": torch.zeros(3)})
    assert not Path("ran").exists()
    assert trusting(spec, spec.arch).function is len


def test_check_named_takes_no_name_and_the_same_name() -> None:
    spec = Spec("conv1", 3, (1, 8, 8), (4,))
    check_named(spec, None)
    check_named(spec, "conv1")
    with pytest.raises(BadCheckpoint, match="its network is conv1, not conv2; give `arch=conv1`"):
        check_named(spec, "conv2")


def test_build_calls_the_function_with_the_classes_and_its_arguments() -> None:
    net = build.build(spec_of("small", width=5))
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert shapes["stem.0.weight"] == (5, 3, 3, 3)
    assert shapes["out.weight"] == (4, 5)
    assert net.training


@pytest.mark.parametrize(
    ("name", "head"),
    [("small", "out"), ("familiar", "classifier"), ("closed", None), ("scaled", None), ("SMALL", None)],
)
def test_build_finds_the_head_that_ends_the_network(name: str, head: str | None) -> None:
    if name == "SMALL":
        with pytest.raises(UsageFault, match="num_classes"):
            build.build(spec_of(name))
        return
    net = build.build(spec_of(name))
    assert heads.has_head(net) == (head is not None)
    if head:
        assert heads.head_name(net) == head
        x = torch.randn(2, 3, 12, 12)
        torch.testing.assert_close(heads.head_of(net)(build.features(net.eval(), x)), net(x))


def test_build_puts_hidden_layers_before_the_classes_or_says_that_it_cannot() -> None:
    net = build.build(spec_of("small", hidden=(6,)))
    assert net.get_submodule("out.hidden1").weight.shape == (6, 8)
    with pytest.raises(UsageFault, match="own_networks:closed: its head cannot be found"):
        build.build(spec_of("closed", hidden=(6,)))


@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        ("without_classes", {"width": 4}, r"called as function\(width=, num_classes=\).*unexpected keyword"),
        ("small", {"depth": 4}, r"unexpected keyword argument 'depth'.*num_classes, and what `arch_args`"),
        ("number", {}, "returns int, not a torch.nn.Module"),
        ("raising", {}, "raises KeyError: 'no such thing'"),
        ("small", {"colors": 1}, "cannot take pictures of 3x12x12"),
        ("one_class_more", {}, r"answers 2 pictures of 3x12x12 with \(2, 5\); let it .* logits, \(2, 4\)"),
        ("tied", {}, r"out\.weight and spare\.weight share one parameter"),
        ("normed", {}, r"out\.weight is computed and not a parameter"),
    ],
)
def test_build_tells_in_a_line_what_is_wrong_with_the_function(
    name: str, args: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageFault, match=says) as caught:
        build.build(spec_of(name, **args))
    assert f"{MODULE}:{name}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_restore_fills_the_network_and_computes_tables_that_no_file_holds() -> None:
    spec = spec_of("small")
    net = build.build(spec).eval()
    state = torch.random.get_rng_state()
    again = build.restore(spec, {name: value.clone() for name, value in net.state_dict().items()})
    assert torch.equal(torch.random.get_rng_state(), state)
    x = torch.randn(2, 3, 12, 12)
    assert torch.equal(again(x), net(x))
