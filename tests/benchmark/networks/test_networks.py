from __future__ import annotations

import math

import pytest
import torch
from named_alone import named_alone
from rrrbench.benchmark.networks import networks
from rrrbench.datasets.recipe import make
from rrrbench.methods.mitigations.erm import ERM
from small import bound, small_dataset, small_trainer


def test_every_network_gives_logits_and_takes_its_seed():
    draw = small_dataset()
    for name in named_alone(networks):
        recipe = networks.resolve(name)
        if not name.endswith("mlp"):
            with pytest.raises(ValueError, match=r"use the mlp|give `patch` a divisor"):
                recipe.build(draw, 0)
            continue
        state = torch.get_rng_state()
        one, same, other = (recipe.build(draw, seed) for seed in (0, 0, 1))
        assert torch.equal(state, torch.get_rng_state())
        weights = [next(network.head.parameters()) for network in (one, same, other)]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])
        assert one(draw.train.batch().inputs).shape == (24, 3)


@pytest.mark.long
def test_a_softmax_mlp_gives_the_mlps_probabilities_alone_and_in_a_stack():
    spec = {"hidden": [7], "init": "torch"}
    trainer = small_trainer(network=networks.resolve({"name": "softmax_mlp", **spec}))
    plain = small_trainer(network=networks.resolve({"name": "mlp", **spec})).modules[0]
    inputs = trainer.train_data[:1, :1].batch(slice(0, 5), torch.float64).inputs[0]
    assert torch.equal(bound(trainer.modules[0])(inputs), plain(inputs).softmax(-1))
    fits = [ERM().fit(small_trainer(network=trainer.network, engine=engine)) for engine in ("stacked", "single")]
    for name, value in fits[0].parameters.items():
        torch.testing.assert_close(value, fits[1].parameters[name])
    assert (fits[0].curves["right_answer"] > math.log(1 + 2 / math.e)).all()


def test_the_mlp_has_rosss_initialisation():
    module = networks.resolve("mlp").build(make("decoy", 0), 0)
    weights = torch.cat([p.flatten() for p in module.parameters()])
    assert len(weights) == 784 * 50 + 50 + 50 * 30 + 30 + 30 * 10 + 10
    assert weights.std().item() == pytest.approx(0.1, rel=0.02)  # standard error 0.1 / sqrt(2 * 41090) = 0.00035


def test_native_pixels_are_a_fixed_first_layer():
    draw = make("decoy", 0)
    unit, native = (networks.resolve({"name": "mlp", "pixel_range": p}).build(draw, 0) for p in ("unit", "native"))
    x = draw.train.batch(slice(0, 4)).inputs
    torch.testing.assert_close(native(x), unit(255 * x))
    assert [name for name, _ in native.named_parameters()] == [name for name, _ in unit.named_parameters()]
