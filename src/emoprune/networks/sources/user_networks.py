"""Networks of users: made by a function of theirs, which runs only where they name it."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from emoprune.errors import BadCheckpoint, UsageFault, at, first_line
from emoprune.networks.heads import HEAD_NAMES, name_head
from emoprune.networks.narrowing import check_weights
from emoprune.networks.registry import architecture
from emoprune.networks.types import Spec

SAMPLES = 2
CORRECT = "correct the function"


def trusting(spec: Spec, arch: str | None) -> Spec:
    """`spec`, which may run the function that it names, as the user names it too in `arch`.

    None names nothing. Raises BadCheckpoint where the user names another network, UsageFault for a function
    that cannot be imported.
    """
    check_named(spec, arch)
    code = arch is not None and architecture(arch).source == "code"
    return replace(spec, function=imported(spec.arch)) if code else spec


def check_named(spec: Spec, arch: str | None) -> None:
    """Raise BadCheckpoint where the user names another network than that of `spec`."""
    if arch not in (None, spec.arch):
        raise BadCheckpoint(f"its network is {spec.arch}, not {arch}", f"give `arch={spec.arch}`")


def imported(arch: str) -> Callable[..., Any]:
    """The function `package.module:function`, where `python -m` would find it; UsageFault without one."""
    module, _, name = arch.partition(":")
    here = os.getcwd()
    if not {"", here} & set(sys.path):
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        with redirect_stdout(sys.stderr):
            found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise _raises(f"importing {module}", error) from error
        remedy = "check the name, and run where Python finds it (here, or in PYTHONPATH)"
        raise UsageFault(f"`arch={arch}`: there is no module {error.name}", remedy) from None
    except (Exception, SystemExit) as error:  # whatever the user's own module raises
        raise _raises(f"importing {module}", error) from error
    try:
        found = functools.reduce(getattr, name.split("."), found)
    except AttributeError:
        raise UsageFault(f"`arch={arch}`: {module} has no {name}", "check the name") from None
    if not callable(found):
        fact = f"`arch={arch}` is {type(found).__name__}, not a function"
        raise UsageFault(fact, "name one that returns a torch.nn.Module")
    return found  # type: ignore[no-any-return]


def _raises(doing: str, error: BaseException) -> UsageFault:
    kind = type(error).__name__
    said = first_line(error)
    return UsageFault(f"{doing} raises {kind}" + (f": {said}" if said != kind else ""), CORRECT)


@torch.inference_mode(False)
def build(spec: Spec) -> nn.Module:
    """The network that the function of `spec` makes.

    It answers a batch of zeros, to find the head and what else could not be trained. Raises UsageFault for
    that, BadCheckpoint where the user has not named the function.
    """
    if spec.function is None:
        fact = f"its network is made by {spec.arch}, which is code"
        raise BadCheckpoint(fact, f"give `arch={spec.arch}` to run it")
    net = _made(spec, spec.function).cpu()
    with at(spec.arch):
        check_weights(net)
        _check_tensors(net)
    name_head(net, _head(net, spec))
    return net


def _made(spec: Spec, function: Callable[..., Any]) -> nn.Module:
    arguments = {**spec.args, "num_classes": spec.classes}
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        fact = f"{spec.arch} is called as function({', '.join(f'{name}=' for name in arguments)}): {error}"
        raise UsageFault(fact, "let it take num_classes, and what `arch_args` names") from None
    except ValueError:
        # a function of C has no signature
        pass
    try:
        with redirect_stdout(sys.stderr):
            net = function(**arguments)
    except (Exception, SystemExit) as error:  # whatever the user's own function raises
        raise _raises(spec.arch, error) from error
    if not isinstance(net, nn.Module):
        raise UsageFault(f"{spec.arch} returns {type(net).__name__}, not a torch.nn.Module", CORRECT)
    return net


def _check_tensors(net: nn.Module) -> None:
    """Raise UsageFault for a network without weights, or whose weights a checkpoint could not hold."""
    first: dict[int, str] = {}
    for name, tensor in net.state_dict(keep_vars=True).items():
        if not isinstance(tensor, Tensor):
            raise UsageFault(f"{name} of its state is {type(tensor).__name__}, not a tensor", CORRECT)
        other = first.setdefault(id(tensor), name)
        if other != name:
            raise UsageFault(f"{other} and {name} share one parameter", "give each its own")
    if not any(parameter.requires_grad for parameter in net.parameters()):
        raise UsageFault("its network has no parameter that learns", CORRECT)


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _head(net: nn.Module, spec: Spec) -> str | None:
    """The module that ends the network with one output for each class; None where there is none.

    It is one of HEAD_NAMES, or else the last convolution or dense layer with so many outputs.
    """
    layers = {name: each for name, each in net.named_modules() if isinstance(each, nn.Linear | nn.Conv2d)}
    ends: list[str] = [name for name, each in layers.items() if len(each.weight) == spec.classes]
    candidates = [name for name in HEAD_NAMES if name in dict(net.named_children())] + ends[-1:]
    answers: dict[str, tuple[Any, int]] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            answers[name] = output, getattr(output, "_version", 0)

        return hook

    hooks = [net.get_submodule(name).register_forward_hook(keep(name)) for name in candidates if name]
    kind = "x".join(map(str, spec.input))
    try:
        with _evaluating(net), torch.no_grad(), redirect_stdout(sys.stderr):
            answer = net(torch.zeros(SAMPLES, *spec.input))
    except Exception as error:  # whatever the user's own forward raises
        fact = f"{spec.arch} cannot take pictures of {kind} ({first_line(error)})"
        raise UsageFault(fact, "give another `size`, or change `gray`") from error
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(answer, Tensor) or tuple(answer.shape) != (SAMPLES, spec.classes):
        form = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        fact = f"{spec.arch} answers {SAMPLES} pictures of {kind} with {form}"
        raise UsageFault(fact, f"let it answer with logits, {(SAMPLES, spec.classes)}")
    for name in candidates:
        output, version = answers.get(name, (None, 0))
        within = [layer for layer in layers if layer == name or layer.startswith(f"{name}.")]
        # nothing may follow, not even in place
        if output is answer and version == answer._version and within and within[-1] in ends:
            return name
    return None
