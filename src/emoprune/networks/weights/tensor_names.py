"""Names of tensors in files, as the network that they are for has them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from emoprune import events
from emoprune.errors import BadCheckpoint
from emoprune.networks.weights.tensor_kinds import SAVE_STATE_DICT

SAME_ARCHITECTURE = "give the weights of the same architecture"
WRAPPED = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Modules that torch puts around another one, anywhere in a name."""
NO_WEIGHTS = re.compile(r"(?<![^._])(optim(izers?)?|momentum|exp_avg)(?![^._])|(?<![^.])grads?(?![^.])")
"""Before names of tensors that are not weights: an optimizer keeps some for each of them."""
DENSE_LAYER = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
"""Names in published DenseNets, which only the function of torchvision that fetches them knows."""


@dataclass(frozen=True)
class Named:
    """The tensors of a file by the names of a network; those that are no part of it are `beside`."""

    tensors: Mapping[str, Tensor]
    beside: Mapping[str, Tensor]


def named_for(net: nn.Module, tensors: Mapping[str, Tensor], *, place: str) -> Named:
    """`tensors` of the file at `place` under the names that `net` has for them.

    What wrappers add is taken off: the prefix that leaves most names of the network, whatever it is, and
    names of torch's own wrappers. Names of older versions of its modules become those of today. Raises
    BadCheckpoint where no name fits.
    """
    expected = net.state_dict().keys()
    spelled = {DENSE_LAYER.sub(r"\1\2.", WRAPPED.sub("", name)): tensor for name, tensor in tensors.items()}
    prefix, rivals = _prefix(spelled, expected)
    inside = {name.removeprefix(prefix): each for name, each in spelled.items() if name.startswith(prefix)}
    beside = {name: each for name, each in spelled.items() if not name.startswith((prefix, *rivals))}
    removed = sorted({found for name in tensors for found in WRAPPED.findall(name)} | {prefix} - {""})
    if removed:
        others = f"; {', '.join(rivals)} would fit as well" if rivals else ""
        events.note(f"{place}: names are taken without {' and '.join(removed)}{others}")
    return Named(_renamed(net, inside), beside)


def _prefix(names: Collection[str], expected: Collection[str]) -> tuple[str, list[str]]:
    """What stands before the expected names most often, the first of equals; and its equals.

    Raises BadCheckpoint where no name fits, or only those of an optimizer's state.
    """
    deepest = max(name.count(".") for name in expected) + 1
    votes = Counter[str]()
    for name in names:
        parts = name.split(".")
        for start in range(max(0, len(parts) - deepest), len(parts)):
            own = ".".join(parts[start:])
            if own in expected:
                votes[name.removesuffix(own)] += 1
    if not votes:
        raise BadCheckpoint("holds no tensor of this architecture", SAME_ARCHITECTURE)
    found = {prefix: count for prefix, count in votes.items() if not NO_WEIGHTS.search(prefix)}
    if not found:
        fact = f"holds no weights, only the state of an optimizer ({next(iter(votes))})"
        raise BadCheckpoint(fact, SAVE_STATE_DICT)
    most = max(found.values())
    first, *rivals = (prefix for prefix, count in found.items() if count == most)
    return first, rivals


def _renamed(net: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by today's names, as the modules of the network themselves bring old ones up to date."""
    # names in place of tensors: the modules move them, and load nothing
    state: dict[str, str | Tensor] = {name: name for name in tensors}
    for place, module in net.named_modules():
        # the outermost has no older names, and some networks refuse files without a version there
        if place:
            module._load_from_state_dict(state, f"{place}.", {}, False, [], [], [])
    return {name: tensors[old] if isinstance(old, str) else old for name, old in state.items()}
