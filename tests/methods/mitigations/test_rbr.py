from __future__ import annotations

import torch
from rrrbench.methods.mitigations.rbr import RBR, influence
from rrrbench.methods.network import Net
from small import Linear, bound, small_net_and_batch
from torch.func import grad
from torch.nn import functional as F

STRENGTH = torch.tensor(0.7, dtype=torch.float64)
NETWORK = {"name": "mlp", "hidden": [8], "init": "torch"}


def test_influence_equals_central_finite_differences_of_the_parameter_gradient():
    net, batch = small_net_and_batch(NETWORK, n=1)

    def summed(inputs):
        def error(parameters):
            return F.cross_entropy(Net(net.module, parameters)(inputs), batch.labels)

        return sum(part.sum() for part in grad(error)(dict(net.parameters)).values())

    expected = torch.zeros(36, dtype=torch.float64)
    for i, step in enumerate(1e-6 * torch.eye(36, dtype=torch.float64)):
        nudge = step.view_as(batch.inputs)
        expected[i] = (summed(batch.inputs + nudge) - summed(batch.inputs - nudge)).detach() / 2e-6
    torch.testing.assert_close(influence(net, batch).flatten(), expected, rtol=1e-5, atol=1e-8)


def test_a_network_without_hidden_layers_has_none():
    # d(-log p_y) / dW_kd = (p_k - [k = y]) x_d adds up to 0 over k
    _, batch = small_net_and_batch(n=4)
    weight = torch.randn(3, 36, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert influence(bound(Linear(weight)), batch).abs().max() < 1e-12


def test_the_penalty_is_the_squared_product_inside_the_mask():
    net, batch = small_net_and_batch(NETWORK)
    gradient = grad(lambda x: F.log_softmax(net(x), -1).sum())(batch.inputs)
    product = gradient * influence(net, batch) * batch.masks
    expected = STRENGTH * product.square().sum() / len(batch.labels)
    torch.testing.assert_close(RBR().terms(net, batch, STRENGTH).right_reason, expected)
