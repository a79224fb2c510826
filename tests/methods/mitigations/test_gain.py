from __future__ import annotations

import pytest
import torch
from rrrbench.methods.gradcam import gradcam
from rrrbench.methods.mitigations import gain
from rrrbench.methods.mitigations.gain import GAIN
from small import Linear, SmallConvolutional, bound, small_net_and_batch

STRENGTH = torch.tensor(0.7, dtype=torch.float64)


@pytest.fixture
def setting():
    return small_net_and_batch(SmallConvolutional())


def true_logit(batch):
    return lambda logits: logits.gather(1, batch.labels[:, None])[:, 0]


@pytest.mark.parametrize("told", ["shortcut", "outside core"])
def test_both_terms_written_out(setting, told):
    net, batch = setting
    cam, _ = gradcam(net, batch.inputs, true_logit(batch), constant_weights=True)
    allowed = ~batch.masks[:, 0] if told == "shortcut" else batch.core[:, 0]
    total = 0.0
    for n in range(6):
        distance = ((cam[n] - allowed[n].double()) ** 2).mean()
        without = batch.inputs[n] * (1 - 1 / (1 + torch.exp(-10 * (cam[n] - 0.5))))
        total = total + distance + 0.3 * net(without[None]).softmax(1)[0, batch.labels[n]]
    value = GAIN(told=told, mining=0.3).terms(net, batch, STRENGTH).right_reason
    torch.testing.assert_close(value, STRENGTH * total / 6)


def test_an_input_that_nobody_annotated_counts_0(setting):
    net, batch = setting
    none = batch._replace(masks=torch.zeros_like(batch.masks))
    assert GAIN().terms(net, none, STRENGTH).right_reason.item() == 0


def test_the_maps_weights_are_constants(setting):
    """Without mining, the layers above the maps get no gradient from the distance of the maps."""
    net, batch = setting
    value = GAIN(mining=0.0).terms(net, batch, STRENGTH).right_reason
    above, below = torch.autograd.grad(
        value, [net.parameters["head.weight"], net.parameters["features.conv.weight"]], allow_unused=True
    )
    assert above is None or (above == 0).all()
    assert below.abs().max() > 0


def test_mining_prefers_a_map_on_the_shortcut_to_a_map_on_the_object(monkeypatch):
    """Of a network that reads the masked pixels alone: the negative control."""
    _, batch = small_net_and_batch(SmallConvolutional())
    told = batch._replace(masks=batch.masks[:1].expand_as(batch.masks), labels=torch.zeros_like(batch.labels))
    weight = torch.zeros(3, 36, dtype=torch.float64)
    weight[0] = 5 * told.masks[0].flatten()
    net, values = bound(Linear(weight)), {}
    for name, region in (("shortcut", told.masks), ("object", batch.core)):
        cam = region[:, 0].double()
        monkeypatch.setattr(gain, "gradcam", lambda net, inputs, *_, cam=cam, **__: (cam, net(inputs)))
        supervised, both = (GAIN(mining=m).terms(net, told, STRENGTH).right_reason for m in (0.0, 1.0))
        values[name] = both - supervised
    assert values["shortcut"] < values["object"]
