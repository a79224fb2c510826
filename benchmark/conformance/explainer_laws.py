"""The laws of an explainer: numbers that tell input values apart, the same in every batch; nothing is left changed."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache

import torch
from torch import Tensor, nn

from ...methods.explainers.base import Explainer
from .small import CLASSES, SIDE, small_dataset
from .violation import require, same_numbers

N = 5


def attributions_have_the_inputs_shape(explainer: Explainer) -> None:
    """1: an attribution for each value of an input, finite, without a graph; none for no inputs."""
    network, inputs, target = _question()
    attributions = explainer.attribute(network, inputs, target)
    shape = tuple(attributions.shape)
    require(attributions.shape == inputs.shape, f"attributions are {shape} for inputs {tuple(inputs.shape)}")
    require(attributions.dtype == inputs.dtype, f"attributions are {attributions.dtype} for inputs {inputs.dtype}")
    require(bool(torch.isfinite(attributions).all()), "attributions are not finite")
    require(not attributions.requires_grad, "attributions keep their graph: return them detached")
    require(
        explainer.attribute(network, inputs[:0], target[:0]).shape == inputs[:0].shape, "no inputs give attributions"
    )


def attributions_tell_features_apart(explainer: Explainer) -> None:
    """1: attributions of a small trained network are not the same number for all features of an input."""
    network, inputs = deepcopy(_trained()), small_dataset().train.batch(slice(0, 2 * N)).inputs.double()
    every = torch.arange(CLASSES).repeat_interleave(len(inputs))  # Grad-CAM has nothing in favour of some classes
    attributions = explainer.attribute(network, inputs.repeat(CLASSES, 1, 1, 1), every).flatten(1)
    constant = (attributions == attributions[:, :1]).all(1)
    require(
        not bool(constant.all()),
        f"every attribution of an input is the same number ({attributions[0, 0]:g} for the first) on a small trained "
        "network: attribute to each value of an input its own part of the class's score",
    )


def an_input_is_attributed_the_same_in_any_batch(explainer: Explainer) -> None:
    """2: alone, in a batch, and a second time, an input has the same attributions."""
    network, inputs, target = _question()
    together = explainer.attribute(network, inputs, target)
    alone = torch.cat([explainer.attribute(network, inputs[[n]], target[[n]]) for n in range(N)])
    way_out = (
        "explain each input by itself, without a mean, a maximum or a draw over the batch; draw with `draws = True`"
    )
    same_numbers(together, alone, 1e-7, 1e-9, "attributions in a batch and alone", way_out)
    require(
        torch.equal(together, explainer.attribute(network, inputs, target)), "a second time they are others: seed them"
    )


def nothing_is_left_changed(explainer: Explainer) -> None:
    """3: the network's modes, hooks, gradients and parameters, the inputs, and the global random state stay."""
    network, inputs, target = _question()
    network[0].eval()

    def state() -> list[object]:
        modules = list(network.modules())
        return [
            [module.training for module in modules],
            [
                (len(module._forward_hooks), len(module._forward_pre_hooks), len(module._backward_hooks))
                for module in modules
            ],
            [(p.requires_grad, None if p.grad is None else p.grad.tolist(), p.tolist()) for p in network.parameters()],
            [inputs.tolist(), inputs.requires_grad, inputs.grad],
            torch.get_rng_state().tolist(),
        ]

    before = state()
    explainer.attribute(network, inputs, target)
    parts = ("a module's mode", "hooks", "parameters or their gradients", "the inputs", "the global random state")
    changed = [part for part, was, now in zip(parts, before, state(), strict=True) if was != now]
    require(not changed, f"{' and '.join(changed)} changed: do in `explain` only what is undone")


def _question() -> tuple[nn.Sequential, Tensor, Tensor]:
    """A network with a convolution, whose modes differ, inputs in [0, 1], and the classes that are asked for."""
    draws = torch.Generator().manual_seed(1)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        width = 4 * (SIDE - 2) ** 2
        network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(width, CLASSES))
    inputs = torch.rand(N, 1, SIDE, SIDE, generator=draws, dtype=torch.float64)
    return network.double(), inputs, torch.arange(N) % CLASSES


@cache
def _trained() -> nn.Sequential:
    """A network with a convolution and a mean over its maps, after 50 steps on the small dataset."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        pooled = nn.AdaptiveAvgPool2d(1)
        network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), pooled, nn.Flatten(), nn.Linear(8, CLASSES)).double()
    batch, optimizer = small_dataset().train.batch(), torch.optim.Adam(network.parameters(), lr=1e-2)
    with torch.enable_grad():
        for _ in range(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(batch.inputs.double()), batch.labels).backward()
            optimizer.step()
    optimizer.zero_grad()
    return network.eval()


def laws() -> dict[str, Callable[[Explainer], None]]:
    """The laws of an explainer, by title."""
    return {
        "1 attributions have the inputs' shape": attributions_have_the_inputs_shape,
        "1 attributions tell features apart": attributions_tell_features_apart,
        "2 an input is attributed the same in any batch": an_input_is_attributed_the_same_in_any_batch,
        "3 nothing is left changed": nothing_is_left_changed,
    }
