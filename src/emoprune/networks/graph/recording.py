"""Record what a network computes as a torch.fx graph, with sizes that are known and remembered.

Unlike `fx.symbolic_trace`, each operation is also computed, so that decisions on sizes can be followed. A
size remains a node of the graph, and so does a whole number that a module keeps, so that the graph holds for
other batches and for the pruned network. A part that cannot be recorded becomes one operation.
"""

from __future__ import annotations

import copy
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from emoprune.errors import first_line

SHAPE = "shape"
"""Key of a node's metadata: the shape of the tensor that it computes, or a list of those of several."""

OVERWRITES = "overwrites"
"""Key of a node's metadata: the node whose tensor the operation returns, overwritten or as it was."""

LEAVES = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.LayerNorm, nn.GroupNorm, nn.Embedding, _NormBase)
"""Kinds of modules that are one operation, and so are those derived from them."""

WHOLE = "net"
READ = (
    *("item", "tolist", "numpy", "__array__", "__int__", "__float__", "__index__"),
    *(torch.equal, torch.allclose),
)
"""What would let the code that follows depend on the elements of a tensor."""


@dataclass(frozen=True)
class Recording:
    """The operations of a network.

    `whole` has the parts that are taken whole: their name and why. `leaked` are the nodes of numbers from
    which others are computed in a way that is not recorded.
    """

    graph: fx.Graph
    whole: Mapping[str, str]
    leaked: Set[fx.Node]


def record(net: nn.Module, example: Tensor) -> Recording:
    """The recording of `net` for inputs like `example`; the network is left as it is.

    It is taken in the mode that it is in. If all of it cannot be recorded, `whole` has the name "".
    """
    recorder = _Recorder(example.clone())
    with _unchanged(net), torch.inference_mode(), _OfSizes(recorder):
        graph = recorder.trace(_Whole(net))
    leaked = {node for node in recorder.leaked if not node._erased}
    for node in reversed(list(graph.nodes)):
        if (
            not node.users
            and node not in leaked
            and node.op not in ("output", "placeholder")
            and not node.meta.get(SHAPE)
        ):
            graph.erase_node(node)
    return Recording(graph, recorder.whole, leaked)


def operation(node: fx.Node) -> Any:
    """The function that a node calls, or the name of its method.

    Functions of torchvision are known by name, because importing it takes as long as torch itself.
    """
    foreign = getattr(node.target, "__module__", "") or ""
    return getattr(node.target, "__name__", "") if foreign.startswith("torchvision.") else node.target


def calls(graph: fx.Graph) -> Counter[str]:
    """How often each module runs; a weight that is also used directly counts as another call of its layer."""
    return Counter(
        str(node.target).rpartition(".")[0] if node.op == "get_attr" else str(node.target)
        for node in graph.nodes
        if node.op in ("call_module", "get_attr")
    )


@contextmanager
def _unchanged(net: nn.Module) -> Iterator[None]:
    """Afterwards the modules keep what they kept before, and nothing that they remember of a call within."""
    before = {module: dict(vars(module)) for module in net.modules()}
    for module, kept in before.items():
        copied = {name: copy.copy(each) for name, each in kept.items() if type(each) in (dict, list)}
        vars(module).update(copied)
    try:
        yield
    finally:
        for module, kept in before.items():
            vars(module).clear()
            vars(module).update(kept)


class _Whole(nn.Module):
    """Calls the network, so that even all of it can become one operation."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Any) -> Any:
        return self.net(x)


class Size(int):
    """A whole number that knows how it is computed."""

    def __new__(cls, value: int, recorder: _Recorder, compute: Callable[[], fx.Node]) -> Size:
        """Keep a number; `compute` adds the node that computes it."""
        found = super().__new__(cls, value)
        found.recorder, found.compute, found.made = recorder, compute, None
        return found

    recorder: _Recorder
    compute: Callable[[], fx.Node]
    made: fx.Node | None

    @property
    def node(self) -> fx.Node:
        """The node that computes it, made when it is first asked for."""
        if self.made is None or self.made._erased:
            self.made = self.compute()
        return self.made

    def __deepcopy__(self, memo: Any) -> int:
        return int(self)

    def __reduce__(self) -> Any:
        return int, (int(self),)


def _arithmetic(name: str, function: Callable[[Any, Any], Any], *, swapped: bool) -> None:
    plain = getattr(int, name)

    def compute(self: Size, other: Any) -> Any:
        value = plain(self, other)
        if not isinstance(other, int) or value is NotImplemented or self.recorder.busy:
            return value
        pair = (other, self) if swapped else (self, other)

        def node() -> fx.Node:
            return self.recorder.create_node("call_function", function, self.recorder.create_arg(pair), {})

        return Size(value, self.recorder, node)

    setattr(Size, name, compute)


def _leak(name: str) -> None:
    plain = getattr(int, name)

    def compute(self: Size, *others: Any) -> Any:
        if not self.recorder.busy:
            self.recorder.leaked.add(self.node)
        return plain(self, *others)

    setattr(Size, name, compute)


for _name in ("add", "sub", "mul", "floordiv", "mod"):
    _arithmetic(f"__{_name}__", getattr(operator, _name), swapped=False)
    _arithmetic(f"__r{_name}__", getattr(operator, _name), swapped=True)
for _name in ("truediv", "rtruediv", "pow", "rpow", "float"):
    _leak(f"__{_name}__")


class Symbol(fx.Proxy):
    """A tensor, or a collection of tensors, that is being recorded, with its value."""

    value: Any

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.value, name)
        if callable(found):
            return super().__getattr__(name)
        if isinstance(found, Tensor):
            return self.tracer.create_proxy("call_function", getattr, (self, name), {})
        return found

    @property
    def shape(self) -> torch.Size:
        """Its sizes, each of which remembers what it is the size of."""
        return torch.Size([self._size(dim) for dim in range(self.value.ndim)])

    def size(self, dim: int | None = None) -> Any:
        """As of a tensor."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """As of a tensor."""
        count = 1
        for size in self.shape:
            count = size * count
        return count

    def _size(self, dim: int) -> Size:
        recorder: Any = self.tracer
        return Size(
            self.value.shape[dim],
            recorder,
            lambda: recorder.create_node("call_method", "size", (self.node, dim), {}),
        )

    def __iter__(self) -> Iterator[Any]:
        return (operator.getitem(self, index) for index in range(len(self.value)))

    def __len__(self) -> int:
        return len(self.value)

    def __contains__(self, entry: object) -> bool:
        return entry in self.value


def _overwrites(name: str, function: Callable[[Any, Any], Any]) -> None:
    def compute(self: Symbol, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    # fx takes `x += y` for `x = x + y`
    setattr(Symbol, name, compute)


OVERWRITING = (operator.iadd, operator.isub, operator.imul, operator.itruediv)
for _function in OVERWRITING:
    _overwrites(f"__{_function.__name__}__", _function)


class _OfSizes(TorchFunctionMode):
    """Records what is made from sizes alone, as zeros for a batch, so that it holds for other batches."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = pytree.tree_leaves((args, kwargs or {}))
        sized = any(isinstance(each, Size) for each in given)
        if sized and not self._recorder.busy and not any(isinstance(each, fx.Proxy) for each in given):
            return self._recorder.create_proxy("call_function", function, args, kwargs or {})
        return function(*args, **(kwargs or {}))


class Constant:
    """A tensor that the network makes for itself, as a function without arguments."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.__name__ = "constant"

    def __call__(self) -> Tensor:
        """The tensor."""
        return self.tensor


class _Recorder(fx.Tracer):
    """Records one call of a network."""

    def __init__(self, example: Tensor) -> None:
        super().__init__()
        self.example = example
        self.whole: dict[str, str] = {}
        self.leaked: set[fx.Node] = set()
        self.busy = False
        self._names: dict[int, str] = {}
        self._overwritten: list[tuple[Symbol, fx.Node]] = []

    def trace(self, root: Any, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        """The graph of `root`."""
        self._names = {id(tensor): name for name, tensor in (*root.named_parameters(), *root.named_buffers())}
        for name, module in root.named_modules():
            if not self.is_leaf_module(module, name):
                self._remember_numbers(name, module)
        return super().trace(root, concrete_args)

    def _remember_numbers(self, path: str, module: nn.Module) -> None:
        for name, value in vars(module).items():
            if type(value) is int and not name.startswith("_"):
                target = f"{path}.{name}".removeprefix(f"{WHOLE}.")
                node = partial(self.create_node, "get_attr", target, (), {})
                vars(module)[name] = Size(value, self, node)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Within, nothing is recorded."""
        before, self.busy = self.busy, True
        try:
            yield
        finally:
            self.busy = before

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Layers, whatever is derived from them, and what torch itself brings."""
        return isinstance(m, LEAVES) or super().is_leaf_module(m, module_qualified_name)

    def path_of_module(self, mod: nn.Module) -> str:
        """The name in the given network."""
        return super().path_of_module(mod).removeprefix(WHOLE).removeprefix(".")

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Record what a module does or, where that cannot be recorded, that it is called."""
        if self.busy:
            return forward(*args, **kwargs)
        try:
            name = self.path_of_module(m)
        except NameError:
            # one that is made for the call, such as a slice of a sequence: its parts have names
            return forward(*args, **kwargs)
        if not self.is_leaf_module(m, name):
            last, known = next(reversed(self.graph.nodes), None), len(self._overwritten)
            try:
                return forward(*args, **kwargs)
            except Exception as error:  # whatever code raises that meets a symbol
                for node in reversed(list(self.graph.nodes)):
                    if node is last:
                        break
                    self.graph.erase_node(node)
                for symbol, before in reversed(self._overwritten[known:]):
                    symbol.node = before
                del self._overwritten[known:]
                self.whole[name] = first_line(error)
        return self.create_proxy("call_module", name, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, fx.Proxy]) -> Any:
        """Parameters are recorded; buffers are where an operation takes them."""
        if isinstance(attr_val, nn.Parameter) and not self.busy and id(attr_val) in self._names:
            return self.create_proxy("get_attr", self._names[id(attr_val)], (), {})
        return attr_val

    def create_node(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """Add a node, by the name in the given network."""
        if kind == "get_attr":
            target = target.removeprefix(f"{WHOLE}.")
        return super().create_node(kind, target, *args, **kwargs)

    def create_arg(self, a: Any) -> Any:
        """Numbers are nodes, and so are parameters, buffers and other tensors."""
        if isinstance(a, Size):
            return a.node
        if isinstance(a, torch.Size):
            return tuple(self.create_arg(size) for size in a)
        if isinstance(a, Tensor):
            if id(a) in self._names:
                node = self.create_node("get_attr", self._names[id(a)], (), {})
            else:
                node = self.create_node("call_function", Constant(a), (), {})
            node.meta[SHAPE] = tuple(a.shape)
            return node
        return super().create_arg(a)

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *_: Any, **__: Any) -> Any:
        """Record an operation and compute it; tensors are symbols, numbers and the like are what they are."""
        node = self.create_node(kind, target, self.create_arg(args), self.create_arg(kwargs))
        with self.computing():
            value = self._value(kind, target, *pytree.tree_map(_plain, (args, kwargs)))
        for given in pytree.tree_leaves((args, kwargs)):
            if isinstance(given, Symbol) and given.value is value:
                # whoever reads what was overwritten reads what it has become
                self._overwritten.append((given, given.node))
                node.meta[OVERWRITES] = given.node
                given.node = node
                node.meta[SHAPE] = tuple(value.shape)
                return given
        shapes = [tuple(each.shape) for each in pytree.tree_leaves(value) if isinstance(each, Tensor)]
        if shapes:
            node.meta[SHAPE] = shapes[0] if isinstance(value, Tensor) else shapes
            found = Symbol(node, self)
            found.value = value
            return found
        if target in ("__setitem__", operator.setitem):
            raise fx.proxy.TraceError("a part of a tensor is overwritten")
        if target in READ:
            raise fx.proxy.TraceError("a number is read from a tensor")
        return value

    def _value(self, kind: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if kind == "placeholder":
            return self.example
        if kind == "get_attr":
            return operator.attrgetter(target)(self.root)
        if kind == "call_module":
            return self.root.get_submodule(f"{WHOLE}.{target}".rstrip("."))(*args, **kwargs)
        if kind == "call_method":
            return getattr(args[0], target)(*args[1:], **kwargs)
        return target(*args, **kwargs)


def _plain(value: Any) -> Any:
    if isinstance(value, Symbol):
        return value.value
    return int(value) if isinstance(value, Size) else value
