"""Sensitivities against gradients taken one sample and one position at a time."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emoprune.choices import Task
from emoprune.networks.statistics.sensitivity import sensitivities

LAYERS = ("stem", "conv", "hidden", "head")


def net() -> nn.Module:
    """Maps, a ReLU that overwrites what a layer computes, batch norm, and dense layers."""
    torch.manual_seed(0)
    parts = {
        "stem": nn.Conv2d(3, 5, 3, padding=1),
        "relu": nn.ReLU(inplace=True),
        "conv": nn.Conv2d(5, 4, 3, stride=2, bias=False),
        "norm": nn.BatchNorm2d(4),
        "act": nn.SiLU(),
        "flat": nn.Flatten(),
        "hidden": nn.Linear(36, 6),
        "bend": nn.Tanh(),
        "head": nn.Linear(6, 3),
    }
    return nn.Sequential(OrderedDict(parts)).eval()


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def drawn(answers: Tensor, task: Task, generator: torch.Generator) -> Tensor:
    """Answers that the network could give, a batch at once, from the same random numbers."""
    if task == "classify":
        return torch.multinomial(answers.softmax(1), 1, generator=generator)[:, 0]
    return answers - torch.randn(answers.shape, generator=generator)


def literal(whole: nn.Module, batches: list[Tensor], task: Task) -> dict[str, Tensor]:
    """The mean over samples of the sum over positions of g g', one gradient at a time."""
    generator, total, count = seeded(), {name: torch.zeros(()).double() for name in LAYERS}, 0
    for batch in batches:
        with torch.no_grad():
            wanted = drawn(whole(batch), task, generator)
        for sample, answer in zip(batch, wanted, strict=True):
            outputs = OrderedDict[str, Tensor]()
            value = sample[None].requires_grad_()
            for name, part in whole.named_children():
                # out of place, so that what a layer computes stays
                value = F.relu(value) if name == "relu" else part(value)
                if name in LAYERS:
                    outputs[name] = value
            surprise = (
                F.cross_entropy(value[0], answer)
                if task == "classify"
                else (value[0] - answer).square().sum() / 2
            )
            for name, gradient in zip(
                outputs, torch.autograd.grad(surprise, [*outputs.values()]), strict=True
            ):
                for g in gradient[0].flatten(1).T if gradient.ndim == 4 else gradient:
                    total[name] = total[name] + torch.outer(g, g).double()
            count += 1
    return {name: found / count for name, found in total.items()}


@pytest.mark.parametrize("task", ["classify", "reconstruct"])
def test_sensitivities_are_those_of_single_gradients(task: Task) -> None:
    whole, generator = net(), torch.Generator().manual_seed(1)
    batches = [torch.randn(count, 3, 7, 7, generator=generator) for count in (6, 1, 4)]
    found = sensitivities(whole, LAYERS, batches, task=task, generator=seeded())
    expected = literal(whole, batches, task)
    assert found.keys() == expected.keys()
    for name in LAYERS:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-9)
        assert found[name].dtype == torch.float64


def test_sensitivities_of_the_last_layer_are_the_spread_of_its_answers() -> None:
    whole, images = net(), torch.randn(3000, 3, 7, 7, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        chances = whole(images).softmax(1).double()
    spread = torch.diag(chances.mean(0)) - chances.T @ chances / len(chances)
    found = sensitivities(whole, ("head",), [images], task="classify", generator=seeded())["head"]
    torch.testing.assert_close(found, spread, rtol=0, atol=0.02)


def test_sensitivities_leave_the_network_and_its_gradients_as_they_were() -> None:
    whole = net().train()
    whole.get_submodule("stem").requires_grad_(False)
    learning = {name: parameter.requires_grad for name, parameter in whole.named_parameters()}
    state = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    with torch.inference_mode():
        # as readers of images give them
        images = torch.randn(2, 3, 7, 7)
    sensitivities(whole, LAYERS, [images], task="classify", generator=seeded())
    assert {name: parameter.requires_grad for name, parameter in whole.named_parameters()} == learning
    assert all(parameter.grad is None for parameter in whole.parameters())
    assert all(torch.equal(tensor, state[name]) for name, tensor in whole.state_dict().items())
    assert not any(module._forward_hooks for module in whole.modules())


def test_sensitivities_are_those_of_layers_that_the_answer_depends_on_by_a_gradient() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Linear(5, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                h = F.relu(self.stem(F.relu_(x)))
            answer: Tensor = self.head(h)
            return answer

    x = torch.randn(20, 5)
    kept = x.clone()
    found = sensitivities(Frozen(), ["stem", "head"], [x], task="classify", generator=seeded())
    assert set(found) == {"head"}
    assert torch.equal(x, kept)
    counted = nn.Sequential(OrderedDict(stem=nn.Linear(5, 4), last=nn.Softmax(1)))
    counted.forward = lambda x: (counted.stem(x) > 0).float()  # type: ignore[method-assign, operator]
    assert sensitivities(counted, ["stem"], [x], task="classify", generator=seeded()) == {}
