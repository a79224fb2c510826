from __future__ import annotations

import torch
from linear_network import BATCH, INPUTS, LABELS, NET, STRENGTH, WEIGHT
from rrrbench.methods.mitigations.a_clarc import MEAN, ONTO, AClArC
from rrrbench.methods.network import Net
from rrrbench.methods.shortcut_directions import projection
from torch.nn import functional as F

COINS = torch.Generator().manual_seed(0)
V = F.normalize(torch.randn(1, 5, dtype=torch.float64, generator=COINS))
AT = torch.randn(5, dtype=torch.float64, generator=COINS)


def net_with(onto: torch.Tensor) -> Net:
    return Net(NET.module, {**NET.parameters, ONTO: onto, MEAN: AT})


def test_of_a_single_direction_it_is_the_papers_shift():
    """h' = h + (m . v - h . v) v for every input; features are the inputs here."""
    moved = INPUTS + (AT @ V[0] - INPUTS @ V[0])[:, None] * V
    terms = AClArC().terms(net_with(projection(V, 1)), BATCH, STRENGTH)
    torch.testing.assert_close(terms.right_reason, STRENGTH * F.cross_entropy(moved @ WEIGHT.T, LABELS))
    torch.testing.assert_close(terms.right_answer, F.cross_entropy(INPUTS @ WEIGHT.T, LABELS))


def test_the_shifted_features_say_nothing_along_the_direction():
    """Whatever an input has along v, the second term is the same."""
    along = BATCH._replace(inputs=INPUTS + torch.tensor([[3.0], [-2.0], [0.5]]) * V)
    net = net_with(projection(V, 1))
    torch.testing.assert_close(
        AClArC().terms(net, along, STRENGTH).right_reason, AClArC().terms(net, BATCH, STRENGTH).right_reason
    )
