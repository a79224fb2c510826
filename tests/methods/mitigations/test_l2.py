from __future__ import annotations

import pytest
import torch
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.l2 import L2
from small import small_net_and_batch, small_trainer

STRENGTH = torch.tensor(3.0, dtype=torch.float64)


def test_l2_is_the_squared_norm_of_all_parameters():
    net, batch = small_net_and_batch()
    expected = STRENGTH * sum(parameter.detach().square().sum() for parameter in net.module.parameters())
    torch.testing.assert_close(L2().terms(net, batch, STRENGTH).right_reason, expected)


def test_l2_without_biases_is_the_squared_norm_of_the_weights():
    net, batch = small_net_and_batch()
    layers = [module for module in net.module.modules() if isinstance(module, torch.nn.Linear)]
    expected = STRENGTH * sum(layer.weight.detach().square().sum() for layer in layers)
    torch.testing.assert_close(L2(biases=False).terms(net, batch, STRENGTH).right_reason, expected)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_l2_is_torchs_weight_decay_at_half_of_it(optimizer):
    settings = {"seeds": (0,), "optimizer": optimizer, "learning_rate": 0.01}
    penalised = L2().fit(small_trainer((0.05,), **settings)).parameters
    decayed = ERM().fit(small_trainer((0.0,), weight_decay=0.1, **settings)).parameters
    for name, value in decayed.items():
        torch.testing.assert_close(penalised[name], value, rtol=1e-7, atol=1e-9)
