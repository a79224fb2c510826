"""Which layer is explained."""

import pytest
import torch
from foxai_network import INPUTS, TARGET, model, named
from rrrbench.benchmark.compat import foxai
from rrrbench.benchmark.compat.foxai import (
    CVClassificationExplainers,
    GuidedGradCAMCVExplainer,
    LayerIntegratedGradientsCVExplainer,
    NoiseTunnelCVExplainer,
    get_last_conv_model_layer,
)
from torch import nn

OF_LAYERS = [one for one in CVClassificationExplainers if named(one).of_layer]
OF_INPUTS = [one for one in CVClassificationExplainers if one not in OF_LAYERS]


def test_the_last_convolution_is_found():
    network = model()
    assert get_last_conv_model_layer(network) is network[2]


@pytest.mark.parametrize("explainer", [one for one in CVClassificationExplainers if getattr(foxai, one.value).of_layer])
def test_without_a_convolution_there_is_no_layer(explainer):
    dense = nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).double()
    with pytest.raises(ValueError, match=r"Sequential has no nn\.Conv2d"):
        named(explainer).calculate_features(dense, INPUTS, 0)
    with pytest.raises(ValueError, match=r"Sequential has no nn\.Conv2d"):
        named(explainer).create_explainer(dense)


def test_a_layer_is_given_by_module_or_by_name():
    network, explain = model(), LayerIntegratedGradientsCVExplainer().calculate_features
    first = explain(network, INPUTS, TARGET, layer=network[0])
    assert first.shape == (3, 4, 6, 4)
    assert torch.equal(explain(network, INPUTS, TARGET, layer="0"), first)
    assert torch.equal(explain(network, INPUTS, TARGET, layer="2"), explain(network, INPUTS, TARGET))
    into = explain(network, INPUTS, TARGET, attribute_to_layer_input=True)
    assert into.shape == (3, 4, 6, 4)
    with pytest.raises(ValueError, match="has no layer '9'"):
        explain(network, INPUTS, TARGET, layer="9")
    with pytest.raises(ValueError, match="is none of the model's"):
        explain(network, INPUTS, TARGET, layer=nn.Conv2d(1, 1, 1))


@pytest.mark.parametrize("options", [{"layer": "0"}, {"attribute_to_layer_input": True}], ids=str)
@pytest.mark.parametrize("explainer", OF_INPUTS, ids=lambda one: one.name)
def test_what_foxai_ignores_is_ignored_and_logged(explainer, options, caplog):
    found = named(explainer).calculate_features(model(), INPUTS, TARGET, **options)
    assert torch.equal(found, named(explainer).calculate_features(model(), INPUTS, TARGET))
    assert f"attributes to inputs: {next(iter(options))} is ignored" in caplog.text


class Split(nn.Module):
    """Two outputs."""

    def forward(self, maps):
        return maps[:, :1], maps[:, 1:]


class Splitting(nn.Module):
    """A layer with two outputs between two convolutions that stand beside each other, and a dense layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 4, 3)
        self.split, self.dense, self.idle = Split(), nn.Linear(96, 3), nn.Linear(2, 2)

    def forward(self, inputs):
        maps = self.left(inputs) * self.right(inputs)
        return self.dense(torch.cat(self.split(maps), 1).flatten(1))


def splitting():
    return Splitting().double()


@pytest.mark.parametrize(
    "name",
    ["LayerIntegratedGradients", "LayerConductance", "LayerDeepLIFT", "LayerInputXGradient", "LayerGradientSHAP"],
)
def test_a_layer_with_several_outputs_has_a_tuple_of_attributions(name):
    explain = getattr(foxai, f"{name}CVExplainer")().calculate_features
    found = explain(splitting(), INPUTS, TARGET, layer="split")
    assert isinstance(found, tuple)
    assert [tuple(part.shape) for part in found] == [(3, 1, 6, 4), (3, 3, 6, 4)]


def test_the_parts_of_a_layer_are_the_layer():
    """Integrated gradients of maps that are split are those of the maps, split."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(96, 3)).double()

    class Splits(nn.Module):
        def __init__(self):
            super().__init__()
            self.network, self.split = network, Split()

        def forward(self, inputs):
            return self.network[1:](torch.cat(self.split(self.network[0](inputs)), 1))

    explain = LayerIntegratedGradientsCVExplainer().calculate_features
    whole = explain(network, INPUTS, TARGET, baselines=0.3, layer="0")
    parts = explain(Splits(), INPUTS, TARGET, baselines=0.3, layer="split")
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    several = torch.stack([INPUTS * 0, INPUTS.flip(0)])
    averaged = explain(Splits(), INPUTS, TARGET, baselines=several, layer="split")
    torch.testing.assert_close(torch.cat(averaged, 1), explain(network, INPUTS, TARGET, baselines=several, layer="0"))


def test_several_layers_have_a_list_in_their_order():
    explain = LayerIntegratedGradientsCVExplainer().calculate_features
    network = splitting()
    found = explain(network, INPUTS, TARGET, layer=[network.right, "left"])
    assert isinstance(found, list)
    with torch.no_grad():
        gained = (network(INPUTS) - network(INPUTS * 0)).gather(1, TARGET[:, None])[:, 0]
    torch.testing.assert_close(sum(part.sum((1, 2, 3)) for part in found), gained)
    assert isinstance(explain(network, INPUTS, TARGET, layer=["split"])[0], tuple)


def test_layers_together_that_have_no_meaning_are_refused():
    explain = LayerIntegratedGradientsCVExplainer().calculate_features
    with pytest.raises(ValueError, match="one acts through another alone"):
        explain(splitting(), INPUTS, TARGET, layer=["left", "split"])
    with pytest.raises(ValueError, match="empty list"):
        explain(splitting(), INPUTS, TARGET, layer=[])
    with pytest.raises(TypeError, match="attributes to one layer"):
        foxai.LayerConductanceCVExplainer().calculate_features(splitting(), INPUTS, TARGET, layer=["left", "right"])


@pytest.mark.parametrize("explainer", OF_LAYERS, ids=lambda one: one.name)
def test_a_layer_that_is_not_applied_once_is_refused(explainer):
    network = splitting()
    network.split.rule = None  # which LRP asks for
    with pytest.raises(ValueError, match="'idle' is not applied in a forward pass: name a layer that is applied once"):
        named(explainer).calculate_features(network, INPUTS, TARGET, layer="idle")
    convolution = nn.Conv2d(1, 1, 3, padding=1)
    twice = nn.Sequential(convolution, nn.ReLU(), convolution, nn.Flatten(), nn.Linear(48, 3)).double()
    with pytest.raises(ValueError, match="'0' is 2 times applied in a forward pass: name a layer"):
        named(explainer).calculate_features(twice, INPUTS, TARGET)


def test_a_layer_may_be_given_by_its_second_name():
    network = splitting()
    network.alias = network.left
    explain = LayerIntegratedGradientsCVExplainer().calculate_features
    assert torch.equal(explain(network, INPUTS, TARGET, layer="alias"), explain(network, INPUTS, TARGET, layer="left"))


def test_guided_gradcam_is_enlarged_bilinearly():
    plain, nearest = (
        GuidedGradCAMCVExplainer().calculate_features(model(), INPUTS, 0, **options)
        for options in ({}, {"interpolate_mode": "nearest"})
    )
    assert not torch.allclose(plain, nearest)


def test_the_noise_tunnel_has_its_options():
    found = NoiseTunnelCVExplainer().calculate_features(
        model(), INPUTS, TARGET, nt_type="vargrad", nt_samples=4, nt_samples_batch_size=2, stdevs=0.1
    )
    assert (found >= -1e-12).all()


def test_a_layer_whose_output_is_nested_is_named():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.LSTM(6, 4, batch_first=True), nn.Linear(4, 3)

        def forward(self, inputs):
            return self.head(self.cell(inputs[:, 0])[0][:, -1])

    explain = LayerIntegratedGradientsCVExplainer().calculate_features
    with pytest.raises(ValueError, match="'cell', a LSTM, returns neither a tensor nor a tuple of tensors: name a lay"):
        explain(Recurrent().double(), INPUTS, TARGET, layer="cell")
    into = explain(Recurrent().double(), INPUTS, TARGET, layer="cell", attribute_to_layer_input=True)
    assert into.shape == (3, 8, 6)
