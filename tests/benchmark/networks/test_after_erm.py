"""The checkpoint of the repair track: what ERM makes of the biased data, the same for every mitigation."""

from __future__ import annotations

import pytest
import torch
from rrrbench.benchmark.conformance.network_laws import a_plain_loop_trains_the_same
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.benchmark.networks import after_erm, networks
from rrrbench.benchmark.networks.not_trainable import NotTrainable
from rrrbench.benchmark.suite.training import Training
from rrrbench.datasets.registry import BadParameters
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.rrr import RRR
from small import small_dataset

INNER = {"name": "mlp", "hidden": [7], "init": "torch"}


def recipe(**parameters):
    return networks.resolve({"name": "after_erm", "network": INNER, "epochs": 3, "batch_size": 8, **parameters})


def state_of(network) -> dict[str, torch.Tensor]:
    return dict(network.named_parameters())


def equal(one, other) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_it_is_deterministic_by_seed_and_nothing_global_changes():
    draw, state = small_dataset(), torch.get_rng_state()
    one, other = recipe().build(draw, 0), recipe().build(draw, 1)
    assert torch.equal(state, torch.get_rng_state())
    after_erm._checkpoint.cache_clear()
    assert equal(state_of(one), state_of(recipe().build(small_dataset(), 0)))
    assert not equal(state_of(one), state_of(other))
    assert all(parameter.grad is None for parameter in one.parameters())


def test_a_caller_that_changes_its_network_changes_no_other():
    draw = small_dataset()
    one = recipe().build(draw, 0)
    with torch.no_grad():
        one.head.weight.zero_()
    assert recipe().build(draw, 0).head.weight.abs().sum() > 0


def test_it_is_trained_on_the_draw_it_is_built_for():
    assert not equal(*(state_of(recipe().build(small_dataset(seed), 0)) for seed in (0, 1)))


@pytest.mark.long
def test_it_has_learned_the_shortcut():
    """Where the right reason is weak and the shortcut certain, the checkpoint follows the shortcut."""
    draw = small_dataset(n=90, signal=0.05)
    inputs, shown = draw.test("random").batch().inputs, draw.test("random")
    trained, untrained = recipe(epochs=60).build(draw, 0), recipe(epochs=60).untrained(draw, 0)

    def follows(network) -> float:
        return float((network(inputs).argmax(1) == shown.shortcuts).float().mean())

    assert follows(trained) > 0.8
    assert follows(untrained) < 0.6


def test_every_mitigation_and_strength_begins_from_the_checkpoint():
    """Seen from the first step: plain gradient descent from the checkpoint, by hand."""
    draw, settings = small_dataset(), Training(epochs=1, batch_size=24, optimizer="sgd", learning_rate=1e-9)
    before = state_of(recipe().build(draw, 0))
    for mitigation in (ERM(), RRR()):
        fitted = mitigation.fit(Trainer(recipe(), [draw], settings, torch.tensor([[0.0, 1.0]]), engine="stacked"))
        for name, value in before.items():
            torch.testing.assert_close(fitted.parameters[name][0], value.expand(2, *value.shape), rtol=0, atol=1e-6)


def test_fine_tuning_is_what_a_plain_loop_does_from_the_checkpoint():
    a_plain_loop_trains_the_same(recipe(), RRR(), "stacked")


def test_its_key_has_the_inner_networks_identity_and_its_record_makes_it_again():
    one = recipe()
    assert one.identity()["network"] == networks.resolve(INNER).identity()
    assert networks.resolve(one.resolved()) == one
    assert one.id == "after_erm[batch_size=8,epochs=3,network=mlp[hidden=[7],init=torch]]"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"pixel_range": "native"}, "pixel_range is the inner network's: give it there"),
        ({"network": "mpl"}, "no network is called 'mpl'; did you mean mlp"),
        ({"epochs": 0}, "greater than or equal to 1"),
    ],
)
def test_what_a_suite_cannot_mean_is_refused(parameters, message):
    with pytest.raises((BadParameters, LookupError), match=message):
        recipe(**parameters)


def test_an_inner_network_that_cannot_be_trained_is_refused_before_the_checkpoint():
    spec = {"name": "torchvision", "model": "resnet18"}
    draw = small_dataset()
    with pytest.raises((NotTrainable, ValueError), match="needs inputs of"):
        recipe(network=spec).build(draw, 0)
