"""Integrated gradients: the linear case by hand, completeness, and bounded memory."""

import pytest
import torch
from rrrbench.datasets.registry import BadParameters
from rrrbench.methods.explainers.base import explainers
from rrrbench.methods.explainers.integrated_gradients import IntegratedGradients
from torch import nn

INPUTS = torch.rand(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TARGET = torch.arange(6) % 3


def test_of_a_linear_network_is_weight_times_input():
    network = nn.Linear(4, 3).double()
    attributions = IntegratedGradients().attribute(network, INPUTS, TARGET)
    torch.testing.assert_close(attributions, network.weight.detach()[TARGET] * INPUTS, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("against", ["zeros", "another input"])
@pytest.mark.parametrize(
    ("activation", "steps", "tolerance"), [(nn.Softplus(), 50, 1e-6), (nn.ReLU(), 50, 1e-2), (nn.ReLU(), 500, 1e-3)]
)
def test_completeness(activation, steps, tolerance, against):
    """Attributions sum to f(x) - f(b): to rounding where f is smooth, to the quadrature's error at ReLU's kinks."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 16), activation, nn.Linear(16, 3)).double()
    baselines = torch.zeros_like(INPUTS) if against == "zeros" else INPUTS.flip(0)
    total = IntegratedGradients(n_steps=steps).attribute(network, INPUTS, TARGET, baselines).sum(1)
    with torch.no_grad():
        gained = (network(INPUTS) - network(baselines)).gather(1, TARGET.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(total, gained, rtol=0, atol=tolerance)


def test_more_steps_come_closer():
    """f = x^5 has f' of degree 4: Gauss-Legendre is exact from 3 points on, and its 1 point gives 5 (x/2)^4 x."""
    inputs, target = torch.tensor([[0.8]], dtype=torch.float64), torch.tensor([0])
    found = [IntegratedGradients(n_steps=n).attribute(lambda x: x**5, inputs, target).item() for n in (1, 3)]
    assert found == pytest.approx([5 * 0.4**4 * 0.8, 0.8**5], rel=1e-6)


def test_passes_are_bounded_and_change_nothing(monkeypatch):
    passes = []

    def network(inputs):
        passes.append(len(inputs))
        return torch.stack([inputs.sum(1) ** 3, inputs.prod(1), inputs[:, 0]], 1)

    whole = IntegratedGradients().attribute(network, INPUTS, TARGET)
    monkeypatch.setattr(IntegratedGradients, "internal_batch_size", 4)
    passes.clear()
    torch.testing.assert_close(IntegratedGradients().attribute(network, INPUTS, TARGET), whole)
    assert max(passes) <= 4


def test_steps_are_part_of_the_id_and_checked():
    assert explainers.resolve({"name": "integrated_gradients", "n_steps": 20}).id == "integrated_gradients[n_steps=20]"
    with pytest.raises(BadParameters, match="n_steps"):
        explainers.resolve({"name": "integrated_gradients", "n_steps": 0})
