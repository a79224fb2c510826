"""Integrated gradients, of inputs and of a layer, and their baselines."""

import pytest
import torch
from captum import attr as captum
from foxai_network import INPUTS, TARGET, model
from rrrbench.benchmark.compat.foxai import (
    GradientSHAPCVExplainer,
    IntegratedGradientsCVExplainer,
    LayerIntegratedGradientsCVExplainer,
    OcclusionCVExplainer,
    SaliencyCVExplainer,
)
from torch import nn

METHODS = ["riemann_right", "riemann_left", "riemann_middle", "riemann_trapezoid", "gausslegendre"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("baseline", [0.0, 0.3, INPUTS.flip(0), INPUTS[:1]], ids=["0", "0.3", "for each", "for all"])
@pytest.mark.parametrize("of_layer", [False, True])
def test_agrees_with_captum(method, baseline, of_layer):
    network = model().eval()
    network[3].inplace = False  # captum itself is wrong about a layer whose output is changed in place
    with_layer = [network[2]] if of_layer else []
    algorithm = captum.LayerIntegratedGradients if of_layer else captum.IntegratedGradients
    wanted = algorithm(network, *with_layer).attribute(INPUTS, baseline, TARGET, n_steps=9, method=method).detach()
    wanted *= 9 / 8 if method == "riemann_trapezoid" else 1
    ours = LayerIntegratedGradientsCVExplainer() if of_layer else IntegratedGradientsCVExplainer()
    found = ours.calculate_features(network, INPUTS, TARGET, baselines=baseline, n_steps=9, method=method)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("explainer", [IntegratedGradientsCVExplainer(), LayerIntegratedGradientsCVExplainer()])
def test_every_method_is_complete(method, explainer):
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Softplus(), nn.Flatten(), nn.Linear(72, 3)).double()
    found = explainer.calculate_features(network, INPUTS, TARGET, INPUTS.flip(0), n_steps=400, method=method)
    with torch.no_grad():
        gained = (network(INPUTS) - network(INPUTS.flip(0))).gather(1, TARGET[:, None])[:, 0]
    torch.testing.assert_close(found.sum((1, 2, 3)), gained, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("method", "expected"),
    [("riemann_left", 4 - 1), ("riemann_right", 4 + 1), ("riemann_middle", 4), ("riemann_trapezoid", 4)],
)
def test_quadratures_of_a_square(method, expected):
    """z = x^2 from 0 to x: integral of 2 s x^2; of 4 points the left sum is x^2 (1 - 1/4), the right x^2 (1 + 1/4)."""
    square, inputs = nn.Module(), torch.tensor([[0.5]], dtype=torch.float64)
    square.forward = lambda x: x**2
    found = IntegratedGradientsCVExplainer().calculate_features(square, inputs, 0, n_steps=4, method=method)
    assert found.item() == pytest.approx(0.25 * expected / 4)


@pytest.mark.parametrize(
    ("target", "same_as"),
    [(2, [2, 2, 2]), (torch.tensor(2), [2, 2, 2]), (torch.tensor([2]), [2, 2, 2]), ([0, 2, 1], [0, 2, 1])],
)
@pytest.mark.parametrize("explainer", [IntegratedGradientsCVExplainer(), LayerIntegratedGradientsCVExplainer()])
def test_targets_are_one_for_all_or_one_for_each(target, same_as, explainer):
    network = model()
    found = explainer.calculate_features(network, INPUTS, target)
    torch.testing.assert_close(found, explainer.calculate_features(network, INPUTS, torch.tensor(same_as)))


def test_targets_are_tuples_where_outputs_have_more_dimensions():
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 6), nn.Unflatten(1, (3, 2))).double()
    explain = IntegratedGradientsCVExplainer().calculate_features
    weight = network[1].weight.detach().reshape(3, 2, 1, 8, 6)
    torch.testing.assert_close(explain(network, INPUTS, (2, 1)), weight[2, 1] * INPUTS, rtol=1e-6, atol=1e-7)
    places = [(0, 0), (2, 1), (1, 0)]
    wanted = torch.stack([weight[place] for place in places]) * INPUTS
    torch.testing.assert_close(explain(network, INPUTS, places), wanted, rtol=1e-6, atol=1e-7)


def test_multiply_by_inputs_reaches_the_algorithm():
    explain = IntegratedGradientsCVExplainer().calculate_features
    rate = explain(model(), INPUTS, 0, multiply_by_inputs=False)
    torch.testing.assert_close(rate * INPUTS, explain(model(), INPUTS, 0))
    assert not IntegratedGradientsCVExplainer().create_explainer(model(), multiply_by_inputs=False).multiplies_by_inputs
    with pytest.raises(TypeError, match="has no multiply_by_inputs=False"):
        SaliencyCVExplainer().calculate_features(model(), INPUTS, 0, multiply_by_inputs=False)


def test_internal_batch_size_bounds_a_pass_and_changes_nothing():
    network, sizes = model(), []
    whole = IntegratedGradientsCVExplainer().calculate_features(network, INPUTS, TARGET)
    network[5].register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    found = IntegratedGradientsCVExplainer().calculate_features(network, INPUTS, TARGET, internal_batch_size=7)
    torch.testing.assert_close(found, whole)
    assert max(sizes) <= 7


def test_further_arguments_of_the_model_are_passed_on():
    class Shifted(nn.Module):
        def forward(self, inputs, shift):
            return (inputs + shift).flatten(1)[:, :2] ** 2

    found = IntegratedGradientsCVExplainer().calculate_features(
        Shifted(), INPUTS, 0, additional_forward_args=(torch.ones_like(INPUTS),)
    )
    pixel = INPUTS[:, 0, 0, 0]
    torch.testing.assert_close(found[:, 0, 0, 0], (pixel + 1) ** 2 - 1, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "simpson"}, "method = 'simpson', expected one of riemann_right"),
        ({"n_steps": 0}, "n_steps = 0: gausslegendre needs at least 1"),
        ({"n_steps": 1, "method": "riemann_trapezoid"}, "needs at least 2"),
        ({"baselines": "blur"}, "baselines = 'blur': the only ones with a name are 'noise'"),
        ({"baselines": torch.zeros(2, 1, 8, 6)}, r"baselines of \(2, 1, 8, 6\) for inputs of \(3, 1, 8, 6\)"),
    ],
)
@pytest.mark.usefixtures("shapes_unchecked")
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        IntegratedGradientsCVExplainer().calculate_features(model(), INPUTS, 0, **options)


# Baselines.


def test_without_baselines_they_are_zeros_and_two_calls_agree():
    explain = IntegratedGradientsCVExplainer().calculate_features
    first = explain(model(), INPUTS, TARGET)
    assert torch.equal(explain(model(), INPUTS, TARGET), first)
    assert torch.equal(explain(model(), INPUTS, TARGET, baselines=0.0), first)


def test_noise_is_asked_for_by_name_and_seeded():
    explain = IntegratedGradientsCVExplainer().calculate_features
    one, other = (explain(model(), INPUTS, TARGET, "noise", seed=seed) for seed in (1, 2))
    torch.manual_seed(7)
    assert torch.equal(explain(model(), INPUTS, TARGET, "noise", seed=1), one)
    assert not torch.allclose(one, other)


@pytest.mark.parametrize("explainer", [IntegratedGradientsCVExplainer(), OcclusionCVExplainer()])
def test_several_baselines_are_averaged(explainer):
    several = torch.stack([INPUTS.flip(0), torch.zeros_like(INPUTS)])
    found = explainer.calculate_features(model(), INPUTS, TARGET, baselines=several)
    each = [explainer.calculate_features(model(), INPUTS, TARGET, baselines=one) for one in several]
    torch.testing.assert_close(found, (each[0] + each[1]) / 2)


def test_a_distribution_of_baselines_has_as_many_rows_as_it_likes():
    found = GradientSHAPCVExplainer().calculate_features(model(), INPUTS, TARGET, baselines=torch.rand(20, 1, 8, 6))
    assert found.shape == INPUTS.shape
