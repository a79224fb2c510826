from __future__ import annotations

import pytest
import torch
from opposed_logits import BATCH
from rrrbench.datasets.base import Batch
from rrrbench.methods.restriction import restricted
from small import Linear, bound, small_net_and_batch


@pytest.mark.parametrize("pixel_range", ["unit", (-1.0, 3.0)])
def test_a_restricted_network_is_the_network_with_the_other_pixels_held(pixel_range):
    net, batch = small_net_and_batch({"name": "mlp", "hidden": [32, 16], "init": "torch", "pixel_range": pixel_range})
    touched = batch.masks.any(0).flatten().nonzero()[:, 0]
    logits, inside, there = restricted(net, batch._replace(touched=touched))
    assert torch.equal(logits, net(batch.inputs))
    assert there.inputs.shape == (len(batch.labels), len(touched))
    shown = torch.rand_like(there.inputs)
    whole = batch.inputs.flatten(1).index_copy(1, touched, shown).view_as(batch.inputs)
    torch.testing.assert_close(inside(shown), net(whole))
    parameters = list(net.parameters.values())
    gradients = [torch.autograd.grad(output.tanh().sum(), parameters) for output in (inside(shown), net(whole))]
    torch.testing.assert_close(*gradients)
    assert not inside.detached()(shown).requires_grad


def test_a_convolution_and_masks_anywhere_are_not_restricted():
    dense, batch = small_net_and_batch()
    module = torch.nn.Module()
    module.features = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.Tanh(), torch.nn.Flatten()).double()
    module.head = torch.nn.Linear(48, 3).double()
    for net, seen in ((dense, batch), (bound(module), batch._replace(touched=torch.tensor([0])))):
        logits, inside, there = restricted(net, seen)
        assert torch.equal(logits, net(batch.inputs))
        assert inside is net
        assert there is seen


def test_what_is_drawn_once_an_input_is_not_taken_for_pixels():
    net, batch = bound(Linear(torch.eye(3, dtype=torch.float64))), BATCH._replace(touched=torch.tensor([0, 1]))
    three = Batch(
        *(field[[0, 1, 1]] for field in batch[:4]), {"upweight": torch.tensor([1.0, 2.0, 3.0])}, batch.touched
    )
    assert torch.equal(restricted(net, three)[2].draws["upweight"], three.draws["upweight"])
