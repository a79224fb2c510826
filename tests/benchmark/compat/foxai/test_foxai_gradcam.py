"""Grad-CAM as FoXAI has it: rectified, enlarged, scaled."""

import pytest
import torch
from foxai_network import INPUTS, TARGET, model
from rrrbench.benchmark.compat.foxai import LayerGradCAMCVExplainer
from rrrbench.benchmark.compat.foxai.metrics import deletion
from torch import nn
from torch.nn import functional as F

EXPLAIN = LayerGradCAMCVExplainer().calculate_features


def by_hand(network, layer, image, target):
    """The paper's formula for one image, from a convolution's maps and their gradients."""
    maps = layer(image)
    rest = list(network)[list(network).index(layer) + 1 :]
    score = nn.Sequential(*rest)(maps)[0, target]
    weights = torch.autograd.grad(score, maps)[0].mean((2, 3), keepdim=True)
    enlarged = F.interpolate(
        (weights * maps).sum(1, keepdim=True).relu(), image.shape[2:], mode="bilinear", align_corners=False
    ).detach()
    return (enlarged - enlarged.min()) / (enlarged.max() - enlarged.min())


def positive():
    """A network whose maps count for every class."""
    net = network()
    with torch.no_grad():
        net[0].weight.abs_()
        net[0].bias.fill_(1)
        net[3].weight.abs_()
    return net


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Sigmoid(), nn.Flatten(), nn.Linear(96, 3)).double()


def test_it_is_rectified_enlarged_and_scaled():
    net = positive()
    with torch.no_grad():
        net[3].weight[:, ::3].neg_()  # some pixels count against
    found = EXPLAIN(net, INPUTS, TARGET)
    assert found.shape == (3, 1, 8, 6)
    for image, target, row in zip(INPUTS, TARGET, found, strict=True):
        torch.testing.assert_close(row[None], by_hand(net, net[0], image[None], int(target)))
    assert found.amin() == 0
    assert torch.equal(found.amax((1, 2, 3)), torch.ones(3, dtype=torch.float64))


def test_an_image_alone_has_the_same_map():
    together = EXPLAIN(model(), INPUTS, TARGET)
    torch.testing.assert_close(EXPLAIN(model(), INPUTS[1:2], 2), together[1:2])


def test_a_map_without_positive_values_is_zero_and_not_nan():
    net = positive()
    with torch.no_grad():
        net[3].weight.neg_()
    assert torch.equal(EXPLAIN(net, INPUTS, TARGET), torch.zeros(3, 1, 8, 6, dtype=torch.float64))


def test_deletion_takes_it_as_it_is():
    area, _ = deletion(EXPLAIN(model(), INPUTS, 1)[0], INPUTS[0], model(), 1)
    assert 0 < area < 1


def test_relu_attributions_is_true_and_false_is_logged(caplog):
    wanted = EXPLAIN(model(), INPUTS, TARGET)
    assert torch.equal(EXPLAIN(model(), INPUTS, TARGET, relu_attributions=True), wanted)
    assert not caplog.text
    assert torch.equal(EXPLAIN(model(), INPUTS, TARGET, relu_attributions=False), wanted)
    assert "relu_attributions=False is ignored, as in FoXAI" in caplog.text


def test_a_layer_without_rows_and_columns_is_refused():
    with pytest.raises(ValueError, match=r"does not lie over inputs of \(3, 1, 8, 6\): name a convolution"):
        EXPLAIN(network(), INPUTS, TARGET, layer="3")
