"""FoXAI's interface, and each of its known faults."""

import math
import re
from functools import wraps
from pathlib import Path

import numpy as np
import pytest
import torch
from captum import attr as captum
from rrrbench.benchmark.compat import foxai
from rrrbench.benchmark.compat.foxai import (
    CVClassificationExplainers,
    ExplainerWithParams,
    FoXaiExplainer,
    GradientSHAPCVExplainer,
    GuidedGradCAMCVExplainer,
    IntegratedGradientsCVExplainer,
    LayerIntegratedGradientsCVExplainer,
    NoiseTunnelCVExplainer,
    OcclusionCVExplainer,
    SaliencyCVExplainer,
    deletion,
    get_last_conv_model_layer,
    insertion,
)
from torch import nn

INPUTS = torch.rand(3, 1, 8, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TARGET = torch.tensor([0, 2, 1])
METHODS = ["riemann_right", "riemann_left", "riemann_middle", "riemann_trapezoid", "gausslegendre"]
EVERY = pytest.mark.parametrize("explainer", list(CVClassificationExplainers), ids=lambda one: one.name)


def model():
    """Training mode with dropout, a ReLU in place, gradients on the parameters: all of it is the user's."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.5), nn.Linear(10, 3)).double()
    network[0].eval()
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 87.1)
    return network


def state(network, inputs):
    return {
        "modes": [module.training for module in network.modules()],
        "in place": [getattr(module, "inplace", None) for module in network.modules()],
        "attributes": [sorted(vars(module)) for module in network.modules()],
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules()],
        "gradients": [parameter.grad.tolist() for parameter in network.parameters()],
        "requires_grad": [parameter.requires_grad for parameter in network.parameters()],
        "parameters": [(parameter.tolist(), parameter._version) for parameter in network.parameters()],
        "inputs": (inputs.tolist(), inputs.requires_grad, inputs.grad),
        "random": (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()),  # noqa: NPY002
    }


def test_the_documentation_s_code_runs():
    text = (Path(__file__).parents[3] / "docs" / "foxai.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(block, names)
    assert names["attributions"]["CV_SALIENCY_EXPLAINER"].shape == (5, 1, 8, 8)


# Integrated gradients.


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


@EVERY
def test_a_target_for_each_input_is_not_the_first_one_s(explainer):
    explain = getattr(foxai, explainer.value)().calculate_features
    together = explain(model(), INPUTS, TARGET)
    alone = torch.cat([explain(model(), INPUTS[[n]], TARGET[n].item()) for n in (1, 2)])
    if "SHAP" in explainer.name or "NOISE" in explainer.name:
        assert together.shape[1:] == alone.shape[1:]  # they draw for a batch
    else:
        torch.testing.assert_close(together[1:], alone, rtol=1e-5, atol=1e-7)


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


# Every explainer.


@EVERY
@pytest.mark.parametrize("images", [1, 3])
def test_every_explainer_explains(explainer, images):
    found = getattr(foxai, explainer.value)().calculate_features(model(), INPUTS[:images], 0)
    of_inputs = "LAYER" not in explainer.name
    assert found.shape[0] == images
    assert found.shape[2:] == (INPUTS.shape[2:] if of_inputs else (4, 2))
    assert found.abs().max() > 0
    assert found.isfinite().all()
    assert not found.requires_grad


@EVERY
def test_everything_is_left_as_it_was(explainer):
    network, inputs = model(), INPUTS.clone()
    before = state(network, inputs)
    getattr(foxai, explainer.value)().calculate_features(network, inputs, TARGET)
    assert state(network, inputs) == before


@EVERY
def test_everything_is_left_as_it_was_after_an_exception(explainer):
    class Fails(nn.Module):
        def forward(self, inputs):
            torch.rand(1)
            raise RuntimeError("out of memory, say")

    network, inputs = model().append(Fails()), INPUTS.clone()
    if "LRP" in explainer.name:
        network[-1].rule = captum._utils.lrp_rules.IdentityRule()
    before = state(network, inputs)
    with pytest.raises(RuntimeError, match="out of memory"):
        getattr(foxai, explainer.value)().calculate_features(network, inputs, TARGET)
    assert state(network, inputs) == before


@EVERY
def test_inputs_may_be_part_of_a_graph(explainer):
    leaf = INPUTS.clone().requires_grad_()
    found = getattr(foxai, explainer.value)().calculate_features(model(), leaf * 1.0, TARGET)
    torch.testing.assert_close(found, getattr(foxai, explainer.value)().calculate_features(model(), INPUTS, TARGET))
    assert leaf.grad is None


@EVERY
def test_is_deterministic(explainer):
    network = model()
    first = getattr(foxai, explainer.value)().calculate_features(network, INPUTS, TARGET)
    torch.manual_seed(9)
    np.random.seed(9)  # noqa: NPY002
    assert torch.equal(getattr(foxai, explainer.value)().calculate_features(network, INPUTS, TARGET), first)


@EVERY
def test_an_unknown_option_is_refused(explainer):
    with pytest.raises(TypeError, match="has no 'stride_value'"):
        getattr(foxai, explainer.value)().calculate_features(model(), INPUTS, 0, stride_value=2)


@EVERY
def test_an_empty_attribution_is_a_runtime_error(explainer, monkeypatch):
    made = getattr(foxai, explainer.value)().create_explainer(model())
    empty = wraps(type(made).attribute)(lambda *_, **__: torch.empty(0))
    monkeypatch.setattr(type(made), "attribute", empty)
    with pytest.raises(RuntimeError, match=r"attribution is empty, of shape \(0,\)"):
        getattr(foxai, explainer.value)().calculate_features(model(), INPUTS, 0)


@EVERY
def test_no_images_are_a_runtime_error(explainer):
    with pytest.raises(RuntimeError, match="empty"):
        getattr(foxai, explainer.value)().calculate_features(model(), INPUTS[:0], 0)


@pytest.mark.usefixtures("shapes_unchecked")
def test_integers_are_refused():
    with pytest.raises(TypeError, match=r"input_data is torch\.uint8"):
        SaliencyCVExplainer().calculate_features(model(), torch.zeros(1, 1, 8, 6, dtype=torch.uint8), 0)


# Layers.


def test_the_last_convolution_is_found():
    network = model()
    assert get_last_conv_model_layer(network) is network[2]


@pytest.mark.parametrize("explainer", [one for one in CVClassificationExplainers if getattr(foxai, one.value).of_layer])
def test_without_a_convolution_there_is_no_layer(explainer):
    dense = nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).double()
    with pytest.raises(ValueError, match=r"Sequential has no nn\.Conv2d"):
        getattr(foxai, explainer.value)().calculate_features(dense, INPUTS, 0)
    with pytest.raises(ValueError, match=r"Sequential has no nn\.Conv2d"):
        getattr(foxai, explainer.value)().create_explainer(dense)


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


def test_a_layer_for_attributions_to_inputs_is_refused():
    with pytest.raises(TypeError, match="attributes to inputs"):
        IntegratedGradientsCVExplainer().calculate_features(model(), INPUTS, 0, layer="0")


def test_guided_gradcam_is_enlarged_bilinearly():
    plain, nearest = (
        GuidedGradCAMCVExplainer().calculate_features(model(), INPUTS, 0, **options)
        for options in ({}, {"interpolate_mode": "nearest"})
    )
    assert not torch.allclose(plain, nearest)


def test_layer_relevance_is_conserved_through_a_flattening():
    """Epsilon rule without biases: what enters is the logit."""
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3, bias=False)
    ).double()
    explain = foxai.LRPCVExplainer().calculate_features
    logits = network(INPUTS).detach()[:, 1]
    torch.testing.assert_close(explain(network, INPUTS, 1).sum((1, 2, 3)), logits, rtol=1e-5, atol=1e-6)


def test_the_noise_tunnel_has_its_options():
    found = NoiseTunnelCVExplainer().calculate_features(
        model(), INPUTS, TARGET, nt_type="vargrad", nt_samples=4, nt_samples_batch_size=2, stdevs=0.1
    )
    assert (found >= -1e-12).all()


# The context manager.


def test_the_context_manager_gives_the_prediction_and_attributions_by_name():
    network, names = model(), CVClassificationExplainers
    explainers = [
        ExplainerWithParams(names.CV_INTEGRATED_GRADIENTS_EXPLAINER, n_steps=10),
        ExplainerWithParams(names.CV_LAYER_GRADCAM_EXPLAINER),
    ]
    modes = [module.training for module in network.modules()]
    with FoXaiExplainer(network, explainers, target=2) as explained, torch.no_grad():
        assert not any(module.training for module in network.modules())
        output, attributions = explained(INPUTS)
    assert [module.training for module in network.modules()] == modes
    assert torch.equal(output, network.eval()(INPUTS))
    assert list(attributions) == ["CV_INTEGRATED_GRADIENTS_EXPLAINER", "CV_LAYER_GRADCAM_EXPLAINER"]
    wanted = IntegratedGradientsCVExplainer().calculate_features(network, INPUTS, 2, n_steps=10)
    assert torch.equal(attributions["CV_INTEGRATED_GRADIENTS_EXPLAINER"], wanted)


def test_an_explainer_given_twice_is_numbered_by_its_position():
    occlusion = CVClassificationExplainers.CV_OCCLUSION_EXPLAINER
    explainers = [
        ExplainerWithParams(occlusion),
        ExplainerWithParams(CVClassificationExplainers.CV_SALIENCY_EXPLAINER),
        ExplainerWithParams(occlusion, sliding_window_shapes=(1, 3, 3)),
    ]
    with FoXaiExplainer(model(), explainers) as explained:
        _, attributions = explained(INPUTS)
    assert list(attributions) == ["CV_OCCLUSION_EXPLAINER_0", "CV_SALIENCY_EXPLAINER", "CV_OCCLUSION_EXPLAINER_2"]


def test_the_context_manager_restores_after_an_exception():
    network = model()
    modes = [module.training for module in network.modules()]
    saliency = ExplainerWithParams(CVClassificationExplainers.CV_SALIENCY_EXPLAINER, no_such_option=1)
    with pytest.raises(TypeError, match="no_such_option"), FoXaiExplainer(network, [saliency]) as explained:
        explained(INPUTS)
    assert [module.training for module in network.modules()] == modes
    with pytest.raises(ValueError, match="no explainer"):
        FoXaiExplainer(network, [])


# Insertion and deletion.


class Share(nn.Module):
    """The probability of class 0 is the weighted sum of the pixels; remembers what it saw."""

    def __init__(self, weights):
        super().__init__()
        self.weights, self.seen = weights, []

    def forward(self, images):
        self.seen.append(images)
        share = (images * self.weights).sum((1, 2, 3)).clamp(1e-9, 1 - 1e-9)
        return torch.stack([share, 1 - share], 1).log()


def test_deletion_by_hand():
    """Pixels 1, 0, 0, 0 in one row, all weight on the first: p = 1, then 1/4, the image's mean, whatever else goes."""
    image, weights = torch.tensor([[[1.0, 0.0, 0.0, 0.0]]]), torch.tensor([[[1.0, 0.0, 0.0, 0.0]]])
    best, curve = deletion(torch.tensor([[4.0, 3.0, 2.0, 1.0]]), image, Share(weights), 0)
    assert [share for share, _ in curve] == [0, 0.25, 0.5, 0.75, 1]
    assert [p for _, p in curve] == pytest.approx([1, 0.25, 0.25, 0.25, 0.25], abs=1e-6)
    assert best == pytest.approx((1 + 0.25) / 2 / 4 + 0.25 * 3 / 4, abs=1e-6)
    worst, _ = deletion(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), image, Share(weights), 0)
    assert worst == pytest.approx(1 * 3 / 4 + (1 + 0.25) / 2 / 4, abs=1e-6)


def test_insertion_by_hand():
    """A kernel of one pixel blurs nothing, so p stays 1; a wide one spreads the pixel, and p comes back with it."""
    image, weights = torch.tensor([[[1.0, 0.0, 0.0, 0.0]]]), torch.tensor([[[1.0, 0.0, 0.0, 0.0]]])
    sharp, _ = insertion(torch.tensor([[4.0, 3.0, 2.0, 1.0]]), image, Share(weights), 0, kernel=(1, 1))
    assert sharp == pytest.approx(1, abs=1e-6)
    best, curve = insertion(torch.tensor([[4.0, 3.0, 2.0, 1.0]]), image, Share(weights), 0)
    worst, _ = insertion(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), image, Share(weights), 0)
    assert curve[0][1] < 0.8
    assert curve[1][1] == pytest.approx(1, abs=1e-6)
    assert worst < best < 1


def test_both_respond_to_the_model():
    image, attributions = torch.rand(1, 6, 6), torch.rand(1, 6, 6)
    models = [Share(torch.full((1, 6, 6), weight)) for weight in (0.0, 0.01, 0.02)]
    for curve in (deletion, insertion):
        areas = [curve(attributions, image, model, 0)[0] for model in models]
        assert areas[0] == pytest.approx(0, abs=1e-6)
        assert areas[0] < areas[1] < areas[2]
    assert deletion(attributions, image, models[1], 0)[0] != insertion(attributions, image, models[1], 0)[0]


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_where_the_attributions_are(channels):
    """Attributions on the top row of a 4x6 image: the first quarter of the pixels to go is that row."""
    image = torch.rand(channels, 4, 6, generator=torch.Generator().manual_seed(1))
    attributions = torch.zeros(channels, 4, 6)
    attributions[:, 0] = 1
    network = Share(torch.full((channels, 4, 6), 0.01))
    deletion(attributions, image, network, 0, steps_num=4)
    _, one_quarter, *_ = torch.cat(network.seen)
    changed = (one_quarter != image).any(0)
    assert changed[0].all()
    assert not changed[1:].any()


@pytest.mark.parametrize("curve", [deletion, insertion])
@pytest.mark.parametrize("shape", [(3, 9, 5), (1, 4, 4), (3, 1, 7), (1, 40, 30)])
@pytest.mark.parametrize("attributions", [torch.zeros, torch.rand])
def test_any_image_any_attribution(curve, shape, attributions):
    area, points = curve(attributions(*shape), torch.rand(*shape), Share(torch.full(shape, 0.5 / math.prod(shape))), 0)
    assert 0 <= area <= 1
    assert len(points) <= 31
    assert points[0][0] == 0
    assert points[-1][0] == 1


@pytest.mark.usefixtures("shapes_unchecked")
def test_the_model_is_left_in_its_mode_and_bad_arguments_are_named():
    network = model()
    deletion(torch.rand(1, 8, 6), INPUTS[0], network, 0)
    assert network.training
    with pytest.raises(ValueError, match=r"attributions of \(1, 6, 8\) for an image of \(1, 8, 6\)"):
        deletion(torch.rand(1, 6, 8), INPUTS[0], network, 0)
    with pytest.raises(ValueError, match=r"chosen_class = 3, expected 0\.\.2"):
        insertion(torch.rand(8, 6), INPUTS[0], network, 3)
    with pytest.raises(ValueError, match="steps_num = 0"):
        deletion(torch.rand(8, 6), INPUTS[0], network, 0, steps_num=0)
