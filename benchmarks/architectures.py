"""Every architecture: how much of it can be pruned, what cannot, and how exact the removal is.

    python -m benchmarks.architectures [--only NAME ...] [--seed N] [--results FILE] [--docs]

Takes the classifiers of torchvision, our own networks and, where timm is installed, a sample of its own (see
benchmarks.timm_sample). Weights and the statistics of batch norms are random. About 4 in 10 units of every
layer are removed at random. The reference is the original with the same units silenced: the weights that
read them are zero. Both get the same two images. The difference between their outputs, relative to the
output, is the error of the removal itself: up to 1e-5 it is exact. Inputs are as small as the network allows,
from 32 pixels on, for those of timm from 64 on. With --results, what a file has already is not tried again.
With --docs the tables are written to docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.common import machine, markdown, parser, progress
from benchmarks.timm_sample import NAMES
from emoprune.errors import UsageFault
from emoprune.networks import build
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import ChannelGraph
from emoprune.networks.registry import ARCHITECTURES
from emoprune.networks.types import Spec
from emoprune.pruning import surgery
from emoprune.pruning.context import PruningContext
from emoprune.pruning.exactness import difference, outputs, silenced
from emoprune.pruning.module import followed
from emoprune.pruning.types import Plan, Removal

CLASSES = 7
SIDE = 32
BATCH = 2
LEFT = 0.6
EXACT = 1e-5
SIDES = (64, 96, 128, 160, 192, 224, 256)
DOCS = Path(__file__).parent.parent / "docs" / "benchmarks.md"
MARKS = "<!-- architectures: begin -->", "<!-- architectures: end -->"
OWN = "ours (those of the papers)"
COLUMNS = 10

FAMILIES = (
    "alexnet",
    "vgg",
    "vgg_bn",
    "resnet",
    "resnext",
    "wide_resnet",
    "densenet",
    "googlenet",
    "inception_v3",
    "inception_resnet_v1",
    "squeezenet",
    "mobilenet_v2",
    "mobilenet_v3",
    "mnasnet",
    "efficientnet",
    "efficientnet_v2",
    "regnet",
    "shufflenet_v2",
    "convnext",
    "vit",
    "swin",
    "maxvit",
    OWN,
)
"""Beginnings of names; the longest match counts."""

WORDS = {
    "a parameter of its own": "a parameter of its own",
    "LayerNorm": "layer norm",
    "LayerNorm2d": "layer norm",
    "MultiheadAttention": "torch's own attention",
}
"""What users call the operations that keep channels whole; others keep their own name."""

Kind = Literal["exact", "refused", "wrong", "silent"]
KINDS: tuple[Kind, ...] = ("exact", "refused", "wrong", "silent")
SOURCES = ("torchvision", "ours", "facenet-pytorch", "timm")
TIMM = "timm/"
"""What a name of timm begins with; some are also names of torchvision."""


@dataclass(frozen=True)
class Trial:
    """The result of one network; `reason` is why it is refused, or what went wrong."""

    source: str
    family: str
    name: str
    kind: Kind
    layers: int = 0
    units: int = 0
    obstacles: tuple[str, ...] = ()
    difference: float = 0.0
    reason: str = ""


def family_of(name: str) -> str:
    """The row of a network."""
    if ARCHITECTURES[name].own:
        return OWN
    if name.startswith("vgg"):
        return "vgg_bn" if name.endswith("_bn") else "vgg"
    return max((family for family in FAMILIES if name.startswith(family)), key=len, default=name)


def spec_of(name: str) -> Spec:
    """The network at its smallest reasonable input."""
    entry = ARCHITECTURES[name]
    if entry.takes == ("table",):
        return Spec(name, CLASSES, (COLUMNS,), entry.hidden)
    side = math.ceil(max(entry.smallest, SIDE) / entry.step) * entry.step
    return Spec(name, CLASSES, (3, side, side), entry.hidden)


@contextmanager
def quick_initialization() -> Iterator[None]:
    """Within, torch initializes nothing: all is drawn again, and that takes most of the time."""
    with ExitStack() as stack:
        for name in dir(nn.init):
            if name.endswith("_") and not name.startswith("_"):
                stack.enter_context(mock.patch.object(nn.init, name, lambda tensor, *_, **__: tensor))
        yield


def drawn(spec: Spec, batch: Tensor) -> nn.Module:
    """A network with random weights and statistics, scaled so that signals neither vanish nor explode."""
    with quick_initialization():
        net = build.build(spec).eval()
    with torch.no_grad():
        for name, tensor in net.named_parameters():
            if name.endswith("bias"):
                tensor.normal_(0, 0.1)
            elif tensor.ndim > 1:
                tensor.normal_(0, math.sqrt(2 / tensor[0].numel()))
            else:
                tensor.uniform_(0.5, 1.5)
    return settled(net, batch)


def settled(net: nn.Module, batch: Tensor) -> nn.Module:
    """The network, its batch norms with the statistics of a batch, at random about them."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1
        norm.train()
    with torch.no_grad():
        net(batch)
        for norm in norms:
            if norm.running_mean is not None and norm.running_var is not None:
                norm.running_mean.add_(torch.randn(norm.num_features), alpha=0.1)
                # over two images a channel may hardly vary; divided by that, it would dominate the others
                level = norm.running_var.mean() + 1e-3
                norm.running_var.copy_(level * (torch.rand(norm.num_features) + 0.5))
    return net.eval()


def random_plan(graph: ChannelGraph) -> Plan:
    """Remove about 4 in 10 units of every layer, but never all."""
    removals = []
    for name, (start, stop) in graph.spans.items():
        gone = torch.rand(stop - start) >= LEFT
        gone[torch.randint(stop - start, ())] = False
        removals.append(Removal(name, stop - start, chosen=tuple(torch.nonzero(gone).flatten().tolist())))
    return Plan(tuple(removals))


def tried(name: str, seed: int) -> Trial:
    """Prune one network of the registry as the command line does."""
    torch.manual_seed(seed)
    spec = spec_of(name)
    batch = torch.randn(BATCH, *spec.input)
    net = drawn(spec, batch)
    graph = channel_graph(build.blueprint(spec), spec.input)
    context = PruningContext(graph, net.state_dict(), {}, {}, graph.layers)
    plan = random_plan(graph)
    pruned = surgery.apply(plan, context, {})
    small = build.restore(replace(spec, widths=pruned.widths), pruned.tensors)
    with torch.inference_mode():
        expected = outputs(silenced(net, graph, context.alive(plan)), batch)
        found = float((outputs(small, batch) - expected).norm() / expected.norm())
    source = {"facenet": "facenet-pytorch"}.get(found_in := ARCHITECTURES[name].source, found_in)
    return judged(Trial(source, family_of(name), name, "exact"), graph, found)


def judged(trial: Trial, graph: ChannelGraph, found: float) -> Trial:
    """The trial with what was found."""
    kind: Kind = "wrong" if not found <= EXACT else "exact" if graph.units else "silent"
    operations = tuple(sorted({obstacle.operation for obstacle in graph.obstacles}))
    return replace(
        trial,
        kind=kind,
        layers=len(graph.layers),
        units=graph.units,
        obstacles=operations,
        difference=found,
        reason="" if kind == "exact" else f"differs by {found:.1e}",
    )


def tried_of_timm(name: str, seed: int) -> Trial:
    """Prune one network of timm as `prune_module` does, at the smallest input that it takes."""
    import timm

    torch.manual_seed(seed)
    net = timm.create_model(name.removeprefix(TIMM), num_classes=CLASSES).eval()
    trial = Trial("timm", type(net).__module__.rpartition(".")[2], name, "refused")
    batch = smallest_input(net)
    with torch.no_grad():
        for parameter in net.parameters():
            # what is alike at the start would not show which of it went
            if parameter.numel() > 1 and parameter.max() - parameter.min() <= 1e-4 * parameter.abs().max():
                parameter.uniform_(0.5, 1.5) if parameter.mean() else parameter.normal_(0, 0.1)
    settled(net, batch)
    try:
        graph = followed(net, batch[:1])
    except UsageFault as fault:
        return replace(trial, reason=fault.fact)
    alive = torch.ones(graph.units, dtype=torch.bool)
    for start, removal in zip(
        (start for start, _ in graph.spans.values()), random_plan(graph).removals, strict=True
    ):
        alive[[start + unit for unit in removal.removed]] = False
    found = difference(net, graph, alive, batch)
    if not found <= EXACT:
        # attention may amplify rounding
        found = difference(net.double(), graph, alive, batch.double())
    return judged(trial, graph, found)


def smallest_input(net: Any) -> Tensor:
    """Two images of the smallest size that a network of timm takes."""
    given = net.pretrained_cfg
    whole = tuple(given.get("input_size", (3, SIDES[-1], SIDES[-1])))
    smaller = [side for side in SIDES if side < whole[1] and not given.get("fixed_input_size")]
    for shape in [(whole[0], side, side) for side in smaller]:
        batch = torch.randn(BATCH, *shape)
        try:
            with torch.inference_mode():
                net(batch)
        except Exception:  # whatever a network raises for an input that is too small
            continue
        return batch
    return torch.randn(BATCH, *whole)


def attempted(name: str, seed: int) -> Trial:
    """A trial that survives whatever a network does."""
    try:
        return tried_of_timm(name, seed) if name.startswith(TIMM) else tried(name, seed)
    except Exception as error:  # one network must not end the run
        source = "timm" if name.startswith(TIMM) else "torchvision"
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        return Trial(source, name, name, "wrong", reason=reason)


def span(values: list[int]) -> str:
    """Smallest to largest."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def row(family: str, trials: list[Trial]) -> list[str]:
    """The row of a family."""
    exact = [trial for trial in trials if trial.kind == "exact"]
    operations = Counter(WORDS.get(name, name) for trial in exact for name in set(trial.obstacles))
    often = [name for name, _ in operations.most_common(3)]
    return [
        family,
        ", ".join(often) + ", others" * (len(operations) > len(often)) or "nothing",
        f"{len(exact)} of {len(trials)}",
        span([trial.layers for trial in exact]) if exact else "-",
        span([trial.units for trial in exact]) if exact else "-",
        f"{max(trial.difference for trial in exact):.1e}" if exact else "-",
    ]


HEADINGS = ["family", "kept whole by", "exact", "layers", "units", "largest difference"]


def tables(trials: list[Trial]) -> Iterator[str]:
    """The counts, one row for each family, and those that are refused."""
    counts = []
    for source in SOURCES:
        kinds = [trial.kind for trial in trials if trial.source == source]
        if kinds:
            counts.append([source, str(len(kinds)), *(str(kinds.count(kind)) for kind in KINDS)])
    yield markdown(["networks of", "tried", *KINDS], counts)
    for heading, sources in (("torchvision, facenet-pytorch and ours", SOURCES[:3]), ("timm", SOURCES[3:])):
        families: dict[str, list[Trial]] = defaultdict(list)
        for trial in trials:
            if trial.source in sources:
                families[trial.family].append(trial)
        ordered = sorted(families, key=lambda family: ([*FAMILIES, family].index(family), family))
        if ordered:
            rows = [row(family, families[family]) for family in ordered]
            yield f"Families of {heading}:\n\n{markdown(HEADINGS, rows, left=2)}"
    others = [trial for trial in trials if trial.kind != "exact"]
    if others:
        rows = [[trial.name, trial.kind, trial.reason] for trial in others]
        yield "Those that are not pruned, and why:\n\n" + markdown(["network", "", "reason"], rows, left=3)


def write_docs(text: str) -> None:
    """Put the tables between the marks in the documentation."""
    before, _, rest = DOCS.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    DOCS.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}")


def arguments() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__)
    # a support vector machine does not have units
    names = [name for name in ARCHITECTURES if name != "svm"]
    if importlib.util.find_spec("timm"):
        names += [f"{TIMM}{name}" for name in NAMES]
    options.add_argument("--only", nargs="+", default=names, metavar="NAME", help="of these, or timm/NAME")
    options.add_argument("--seed", type=int, default=0, help="of weights, images and removals")
    options.add_argument("--results", type=Path, help="a file for the result of each network, one a line")
    options.add_argument("--docs", action="store_true", help="write the tables to docs/benchmarks.md")
    return options.parse_args()


def read_results(path: Path | None) -> dict[str, Trial]:
    """The trials that a file has, by name."""
    lines = path.read_text().splitlines() if path and path.exists() else []
    entries = ({**entry, "obstacles": tuple(entry["obstacles"])} for entry in map(json.loads, lines))
    return {trial.name: trial for trial in (Trial(**entry) for entry in entries)}


def run() -> None:
    """Prune the networks one by one and print the tables."""
    args = arguments()
    where = machine()
    logging.getLogger().setLevel(logging.ERROR)
    known = read_results(args.results)
    trials = []
    for name in args.only:
        start = time.perf_counter()
        trial = known.get(name) or attempted(name, args.seed)
        if name not in known and args.results:
            with args.results.open("a") as file:
                file.write(json.dumps(asdict(trial)) + "\n")
        found = trial.reason or f"{trial.units:,} units, difference {trial.difference:.1e}"
        progress(f"{name}: {trial.kind}, {found}, {time.perf_counter() - start:.1f} s")
        trials.append(trial)
    text = "\n\n".join(tables(trials))
    print(text)
    print(f"\n{len(args.only)} networks, {where}")
    if args.docs:
        write_docs(text)


if __name__ == "__main__":
    run()
