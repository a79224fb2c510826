from __future__ import annotations

import pytest
import torch
from rrrbench.datasets.base import Batch
from rrrbench.methods.mitigations.cdep import CDEP, contextual_decomposition, decompose
from rrrbench.methods.network import BoundLayer
from small import SmallConvolutional, bound, small_net_and_batch
from torch import nn

STRENGTH = torch.tensor(0.7, dtype=torch.float64)
NETWORKS = [
    {"name": "mlp", "hidden": [7, 5], "init": "torch"},
    {"name": "mlp", "hidden": [7, 5], "init": "torch", "pixel_range": (-1.0, 1.0)},
    SmallConvolutional(),
]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_the_parts_are_the_whole_and_nothing_when_all_or_nothing_is_masked(network):
    net, batch = small_net_and_batch(network)
    for value, share in ((True, 1.0), (False, 0.0)):
        logits, masked = contextual_decomposition(net, batch._replace(masks=torch.full_like(batch.masks, value)))
        torch.testing.assert_close(logits, net(batch.inputs), rtol=0, atol=0)
        torch.testing.assert_close(masked, share * logits)


def test_the_two_parts_of_a_linear_network_add_up_and_share_the_bias_by_size():
    weight = torch.tensor([[1.0, -3.0], [2.0, 0.0]], dtype=torch.float64)
    layer = BoundLayer(nn.Linear(2, 2), {"weight": weight, "bias": torch.tensor([4.0, 1.0], dtype=torch.float64)})
    x, mask = torch.tensor([[1.0, 1.0]], dtype=torch.float64), torch.tensor([[True, False]])
    whole, masked = decompose(layer, x, x * mask)
    assert whole.tolist() == [[2.0, 3.0]]
    torch.testing.assert_close(masked, torch.tensor([[1 + 4 * 1 / 4, 2 + 1.0]], dtype=torch.float64))
    _, rest = decompose(layer, x, x * ~mask)
    torch.testing.assert_close(masked + rest, whole)


def test_a_max_pool_takes_the_masked_part_of_what_is_greatest():
    whole = torch.tensor([[1.0, 5.0], [2.0, 3.0]]).view(1, 1, 2, 2)
    masked = torch.tensor([[1.0, 0.5], [9.0, 3.0]]).view(1, 1, 2, 2)
    output, part = decompose(BoundLayer(nn.MaxPool2d(2), {}), whole, masked)
    assert (output.item(), part.item()) == (5.0, 0.5)


def test_the_penalty_by_hand_leaves_out_inputs_without_a_mask():
    module = nn.Module()
    module.features, module.head = nn.Sequential(nn.Flatten()), nn.Linear(2, 2, bias=False).double()
    module.head.weight.data = torch.tensor([[1.0, 2.0], [0.0, -1.0]], dtype=torch.float64)
    inputs = torch.tensor([[0.5, 1.0], [0.5, 1.0]], dtype=torch.float64)
    masks = torch.tensor([[True, False], [False, False]])
    batch = Batch(inputs, torch.tensor([0, 0]), masks, torch.tensor([0, 0]))
    # masked (0.5, 0) against the rest (2, -1)
    expected = STRENGTH * torch.tensor([-1.5, 1.0], dtype=torch.float64).sigmoid().sum() / 2
    torch.testing.assert_close(CDEP().terms(bound(module), batch, STRENGTH).right_reason, expected)


def test_a_layer_without_a_rule_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match="no rule for Tanh: use the mlp or lenet"):
        decompose(BoundLayer(nn.Tanh(), {}), torch.zeros(1, 2), torch.zeros(1, 2))
