"""Mitigations x networks x planters: no run fails; what a mitigation cannot work with is inapplicable, and says why."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest
from rrrbench.benchmark.networks import NetworkRecipe, networks
from rrrbench.benchmark.running.executors import Settings, Task, run_stack
from rrrbench.benchmark.suite.stack import MitigationStack
from rrrbench.benchmark.suite.training import Training
from rrrbench.datasets.base import ShortcutDataset, Split
from rrrbench.datasets.planter import planters
from rrrbench.datasets.recipe import Recipe, datasets
from rrrbench.methods.base import mitigations
from small import small_dataset
from torch import Tensor

RULES = {"cdep", "ibp_ex", "ibp_ex+rrr", "r4"}
"""Their rules cover plain layers: neither GroupNorm, nor residual blocks, nor attention."""
MAPS = {"gain", "hint", "rrr_gradcam", "tap"}
"""They look at a convolution's maps, which a vision transformer has not."""
NETWORKS = {
    "mlp": ({"name": "mlp", "hidden": [8]}, MAPS),
    "lenet": ("lenet", set()),
    "small_resnet": ("small_resnet", RULES),
    "small_vit": ({"name": "small_vit", "width": 8, "depth": 1, "heads": 2}, RULES | MAPS),
}
"""Each with the mitigations that are inapplicable."""
AT_EVERY_CHANGE = {"cdep", "erm", "hint", "rrr"}
"""Of each kind a mitigation: the others are slow tests."""
TRAINED, TESTED = 64, 6


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


class Few(Recipe):
    """A few digits with any planter's shortcut, and a minority."""

    name: ClassVar[str] = "few"

    planter: str

    def render(self, seed: int) -> ShortcutDataset:
        shortcut = {"name": self.planter, "correlation": 0.5}
        draw = datasets.resolve({"name": "planted", "planters": [shortcut]}).make(seed)
        return replace(
            draw,
            train=draw.train.rows(slice(TRAINED)),
            validation=draw.validation.rows(slice(TRAINED)),
            environments={name: draw.test(name).rows(slice(TRAINED)) for name in draw.environments},
            clean_train=lambda: draw.clean_train().rows(slice(TRAINED)),
        )


def records_of(name: str, network: NetworkRecipe, data: Recipe):
    mitigation = mitigations.resolve(name)
    strengths = (0.01,) if mitigation.has_strength else (0.0,)
    stack = MitigationStack(data, network, mitigation, Training(epochs=1, batch_size=32), strengths, (0,))
    return run_stack(Task(stack, panel=False), Settings(engine="single")).records


def assert_ends_or_says_why(record, inapplicable: bool):
    assert record.status in ("finished", "diverged", "inert", "inapplicable"), record.error
    assert bool(record.error) == (record.status == "inapplicable")
    assert (record.status == "inapplicable") == inapplicable, record.error


@pytest.mark.parametrize("network", ["small_resnet", "small_vit"])
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name not in AT_EVERY_CHANGE)) for name in mitigations.names()],
)
def test_every_mitigation_ends_or_says_why_it_cannot_work(name, network):
    spec, inapplicable = NETWORKS[network]
    spec = {"name": "small_vit", "width": 8, "depth": 1, "heads": 2, "patch": 3} if network == "small_vit" else spec
    for record in records_of(name, networks.resolve(spec), Enlarged()):
        assert_ends_or_says_why(record, name in inapplicable)


@pytest.mark.slow
@pytest.mark.parametrize("name", mitigations.names())
def test_every_mitigation_on_resnet18(name):
    for record in records_of(name, networks.resolve("resnet18"), Enlarged()):
        assert_ends_or_says_why(record, name in RULES)


@pytest.mark.slow
@pytest.mark.parametrize("planter", planters.names())
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", mitigations.names())
def test_every_mitigation_on_every_network_and_planter(name, network, planter):
    spec, inapplicable = NETWORKS[network]
    for record in records_of(name, networks.resolve(spec), Few(planter=planter)):
        assert_ends_or_says_why(record, name in inapplicable)


@pytest.mark.parametrize("name", sorted(RULES))
def test_layers_without_a_rule_are_named_with_the_way_out(name):
    (record,) = records_of(name, networks.resolve("small_resnet"), Enlarged())
    assert record.status == "inapplicable"
    assert "has no rule for GroupNorm: use the mlp or lenet" in record.error
