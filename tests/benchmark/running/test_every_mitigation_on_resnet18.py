"""No run on a residual network fails: what a mitigation cannot work with is inapplicable, and says why."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import ClassVar

import pytest
from rrrbench.benchmark.networks import NetworkRecipe, networks
from rrrbench.benchmark.running.executors import Settings, Task, run_stack
from rrrbench.benchmark.suite.stack import MitigationStack
from rrrbench.benchmark.suite.training import Training
from rrrbench.datasets.base import ShortcutDataset, Split
from rrrbench.datasets.recipe import Recipe
from rrrbench.methods.base import mitigations
from small import small_dataset
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

RULES_MISSING = ("cdep", "ibp_ex", "ibp_ex+rrr", "r4")
"""Their rules cover plain layers, and neither GroupNorm nor a residual block."""
TESTED = 6


class Enlarged(Recipe):
    """The small dataset with 18x18 pixels, 64 training inputs, a minority, and few others."""

    name: ClassVar[str] = "enlarged"

    def render(self, seed: int) -> ShortcutDataset:
        draw = small_dataset(seed, n=64, correlation=0.5)
        tests = {name: enlarged(split, TESTED) for name, split in draw.environments.items()}
        return replace(
            draw,
            train=enlarged(draw.train),
            validation=enlarged(draw.validation, TESTED),
            environments=tests,
            clean_train=lambda: enlarged(draw.clean_train()),
        )


def enlarged(split: Split, n: int = 64) -> Split:
    def three_times(images: Tensor) -> Tensor:
        return images[:n].repeat_interleave(3, 2).repeat_interleave(3, 3)

    return replace(
        split.rows(slice(n)),
        inputs=three_times(split.inputs),
        masks=three_times(split.masks),
        core=three_times(split.core),
    )


class Residual(NetworkRecipe):
    """All kinds of layers of resnet18, and one block of few channels."""

    name: ClassVar[str] = "residual"

    def layers(self, features: tuple[int, ...], classes: int) -> tuple[OrderedDict[str, nn.Module], nn.Linear]:
        shortcut = nn.Sequential(nn.Conv2d(4, 6, 1, 2, bias=False), nn.GroupNorm(2, 6))
        block = BasicBlock(4, 6, 2, shortcut, norm_layer=lambda channels: nn.GroupNorm(2, channels))
        block.relu.inplace = False
        layers = OrderedDict(
            conv=nn.Conv2d(features[0], 4, 3, 2, 1, bias=False),
            norm=nn.GroupNorm(2, 4),
            relu=nn.ReLU(),
            block=block,
            pool=nn.AdaptiveAvgPool2d((1, 1)),
            flatten=nn.Flatten(),
        )
        return layers, nn.Linear(6, classes)


def records_of(name: str, network: NetworkRecipe):
    mitigation = mitigations.resolve(name)
    strengths = (0.01,) if mitigation.has_strength else (0.0,)
    stack = MitigationStack(Enlarged(), network, mitigation, Training(epochs=1, batch_size=32), strengths, (0,))
    return run_stack(Task(stack, panel=False), Settings(engine="single")).records


@pytest.mark.parametrize(
    "network", [Residual(), pytest.param(networks.resolve("resnet18"), marks=pytest.mark.slow)], ids=lambda n: n.id
)
@pytest.mark.parametrize("name", mitigations.names())
def test_every_mitigation_ends_or_says_why_it_cannot_work(name, network):
    for record in records_of(name, network):
        assert record.status in ("finished", "diverged", "inert", "inapplicable"), record.error
        assert bool(record.error) == (record.status == "inapplicable")
        assert (record.status == "inapplicable") == (name in RULES_MISSING), record.error


@pytest.mark.parametrize("name", RULES_MISSING)
def test_layers_without_a_rule_are_named_with_the_way_out(name):
    (record,) = records_of(name, networks.resolve("resnet18"))
    assert record.status == "inapplicable"
    assert "has no rule for GroupNorm: use the mlp or lenet" in record.error
