"""Recording: what stays a node, what can be followed, and what is taken whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from emoprune.networks.graph.recording import SHAPE, Recording, record
from tests.support.wiring import Wired, conv

X = torch.zeros(2, 3, 6, 6)


def replayed(recording: Recording, net: nn.Module, x: Tensor) -> Any:
    return fx.Interpreter(net, False, recording.graph).run(x)


def sized(net: Any, x: Any) -> Any:
    batch, _, height, width = x.shape
    if height % 4:
        x = nn.functional.pad(x, (0, 0, 0, 4 - height % 4))
    h = net.a(x)
    for part in h.chunk(net.count, 1):
        h = h + part.mean((1, 2, 3)).view(batch, 1, 1, 1) * (width // 2)
    return h.flatten(1).reshape(batch, net.count, -1)


def test_record_follows_decisions_on_sizes_and_holds_for_other_batches() -> None:
    net = Wired(sized, a=conv(3, 4)).eval()
    net.count = 2
    recording = record(net, X)
    assert recording.whole == {}
    batch = torch.randn(5, 3, 6, 6)
    assert torch.equal(replayed(recording, net, batch), net(batch))


def test_record_takes_numbers_of_modules_from_the_module() -> None:
    net = Wired(lambda net, x: net.a(x).reshape(x.shape[0], net.count, -1), a=nn.Linear(4, 6)).eval()
    net.count = 2
    recording = record(net, torch.zeros(1, 4))
    net.count = 3
    assert replayed(recording, net, torch.zeros(5, 4)).shape == (5, 3, 2)


class Deciding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Reading(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.max().item()


@pytest.mark.parametrize("part", [Deciding(), Reading()])
def test_record_takes_a_part_whole_that_depends_on_values(part: nn.Module) -> None:
    net = nn.Sequential(conv(3, 4), nn.Sequential(part), conv(4, 2)).eval()
    recording = record(net, X)
    assert list(recording.whole) == ["1.0"]
    batch = torch.randn(3, 3, 6, 6)
    assert torch.equal(replayed(recording, net, batch), net(batch))
    assert list(record(part, X).whole) == [""]


def overwriting(net: Any, x: Any) -> Any:
    h = net.a(x)
    alias = h
    net.relu(h)
    h += 1
    return alias * torch.sigmoid_(h)


def test_record_lets_later_operations_read_what_was_overwritten() -> None:
    net = Wired(overwriting, a=conv(3, 4), relu=nn.ReLU(inplace=True)).eval()
    graph = record(net, X).graph
    names = ("x", "a", "relu", "iadd", "sigmoid_", "mul")
    for node, before in zip(list(graph.nodes)[1:], names, strict=True):
        assert {source.name for source in node.all_input_nodes} == {before}


class Half(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        torch.relu_(x)
        return x if x.sum() > 0 else -x


def test_record_forgets_what_a_part_overwrote_that_is_taken_whole() -> None:
    net = Wired(lambda net, x: net.part(net.a(x)), a=conv(3, 4), part=nn.Sequential(Half())).eval()
    recording = record(net, X)
    assert list(recording.whole) == ["part.0"]
    batch = torch.randn(3, 3, 6, 6)
    assert torch.equal(replayed(recording, net, batch), net(batch))


class Remembering(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.count, self.seen = 2, dict[str, Any]()
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.seen["x"], self.last = x, x
        return x * self.count


def test_record_leaves_the_network_as_it_is() -> None:
    part = Remembering()
    seen = part.seen
    record(nn.Sequential(conv(3, 4), part).eval(), X)
    assert (part.seen, part.last, type(part.count)) == ({}, None, int)
    assert part.seen is seen


def test_record_notes_the_shape_of_every_tensor() -> None:
    net = Wired(lambda net, x: torch.cat(net.a(x).split([1, 3], 1), 1), a=conv(3, 4)).eval()
    shapes = {node.op: node.meta[SHAPE] for node in record(net, X).graph.nodes if SHAPE in node.meta}
    assert shapes["placeholder"] == (2, 3, 6, 6)
    assert shapes["call_method"] == [(2, 1, 6, 6), (2, 3, 6, 6)]


def test_record_notes_numbers_from_which_others_are_computed_unseen() -> None:
    net = Wired(lambda net, x: net.a(x) * net.a(x).shape[1] ** -0.5, a=conv(3, 4)).eval()
    assert [node.target for node in record(net, X).leaked] == ["size"]


def test_record_makes_what_is_made_from_sizes_for_each_batch() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        total = torch.zeros(x.shape[0], 4, *h.shape[2:])
        total += h
        return total.add_(torch.linspace(0, 1, x.shape[3]).view(1, 1, 1, -1).repeat(x.size(0), 1, 1, 1))

    net = Wired(forward, a=conv(3, 4, padding=1)).eval()
    recording = record(net, X)
    assert recording.whole == {}
    batch = torch.randn(5, 3, 6, 6)
    assert torch.equal(replayed(recording, net, batch), net(batch))


def test_record_follows_a_slice_of_a_sequence() -> None:
    net = Wired(lambda net, x: net.parts[1:](net.parts[:1](x)), parts=nn.Sequential(conv(3, 4), nn.ReLU()))
    recording = record(net.eval(), X)
    assert recording.whole == {}
    assert [node.target for node in recording.graph.nodes][1:3] == ["parts.0", "parts.1"]


def test_record_cannot_follow_a_part_that_is_overwritten() -> None:
    def forward(net: Any, x: Any) -> Any:
        kept = torch.zeros(2, 4, 6, 6)
        kept[:, 1:] = net.a(x)[:, 1:]
        return kept

    assert list(record(Wired(forward, a=conv(3, 4, padding=1)).eval(), X).whole) == [""]


def test_record_leaves_its_example_as_it_is() -> None:
    x = torch.ones(2, 3, 6, 6)
    record(Wired(lambda net, x: net.a(x.sub_(0.5)), a=conv(3, 4)).eval(), x)
    assert torch.equal(x, torch.ones(2, 3, 6, 6))
