"""The prediction and its explanations in one call."""

import logging

import pytest
import torch
from foxai_network import INPUTS, model
from rrrbench.benchmark.compat.foxai import IntegratedGradientsCVExplainer, explainer
from rrrbench.benchmark.compat.foxai.context_manager import (
    CVClassificationExplainers,
    ExplainerWithParams,
    FoXaiExplainer,
)

SALIENCY = ExplainerWithParams(CVClassificationExplainers.CV_SALIENCY_EXPLAINER)


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
    assert list(attributions) == ["CV_INTEGRATED_GRADIENTS_EXPLAINER_0", "CV_LAYER_GRADCAM_EXPLAINER_1"]
    wanted = IntegratedGradientsCVExplainer().calculate_features(network, INPUTS, 2, n_steps=10)
    assert torch.equal(attributions["CV_INTEGRATED_GRADIENTS_EXPLAINER"], wanted)


def test_keys_are_foxai_s_names_and_positions():
    occlusion = CVClassificationExplainers.CV_OCCLUSION_EXPLAINER
    explainers = [
        ExplainerWithParams(occlusion),
        ExplainerWithParams(CVClassificationExplainers.CV_SALIENCY_EXPLAINER),
        ExplainerWithParams(occlusion, sliding_window_shapes=(1, 3, 3)),
    ]
    with FoXaiExplainer(model(), explainers) as explained:
        _, attributions = explained(INPUTS)
    assert list(attributions) == ["CV_OCCLUSION_EXPLAINER_0", "CV_SALIENCY_EXPLAINER_1", "CV_OCCLUSION_EXPLAINER_2"]
    assert attributions["CV_SALIENCY_EXPLAINER"] is attributions["CV_SALIENCY_EXPLAINER_1"]
    with pytest.raises(KeyError, match="CV_OCCLUSION_EXPLAINER is the key of 2 explanations: take one of"):
        attributions["CV_OCCLUSION_EXPLAINER"]
    with pytest.raises(KeyError, match="key of 0 explanations"):
        attributions["CV_LRP_EXPLAINER"]


def test_the_context_manager_restores_after_an_exception():
    network = model()
    modes = [module.training for module in network.modules()]
    saliency = ExplainerWithParams(CVClassificationExplainers.CV_SALIENCY_EXPLAINER, no_such_option=1)
    with pytest.raises(TypeError, match="no_such_option"), FoXaiExplainer(network, [saliency]) as explained:
        explained(INPUTS)
    assert [module.training for module in network.modules()] == modes
    with pytest.raises(ValueError, match="no explainer"):
        FoXaiExplainer(network, [])


def test_the_names_values_are_foxai_s():
    assert CVClassificationExplainers.CV_SALIENCY_EXPLAINER.value == "SaliencyCVExplainer"
    assert CVClassificationExplainers["CV_LRP_EXPLAINER"] is CVClassificationExplainers("LRPCVExplainer")
    for member in CVClassificationExplainers:
        assert getattr(explainer, member.value)().algorithm_name == member.value


def test_a_name_that_is_not_here_says_what_to_take():
    with pytest.raises(AttributeError, match=r"has no CV_XRAI_EXPLAINER: XRAI sums .*; take IntegratedGradients"):
        _ = CVClassificationExplainers.CV_XRAI_EXPLAINER
    with pytest.raises(AttributeError, match="has no CV_SALIENCY; did you mean"):
        _ = CVClassificationExplainers.CV_SALIENCY
    with pytest.raises(ImportError, match="FullGradientCVExplainer is not here: captum has no full gradients; take"):
        from rrrbench.benchmark.compat.foxai.explainer import FullGradientCVExplainer  # noqa: F401


def test_the_explainer_map_holds_explainers_and_their_arguments():
    occlusion = ExplainerWithParams(CVClassificationExplainers.CV_OCCLUSION_EXPLAINER, perturbations_per_eval=7)
    chosen = FoXaiExplainer(model(), [occlusion]).explainer_map["CV_OCCLUSION_EXPLAINER_0"]
    assert isinstance(chosen.explainer_class, explainer.OcclusionCVExplainer)
    assert chosen.kwargs == {"perturbations_per_eval": 7}


def test_training_mode_is_logged_and_evaluation_mode_is_not(caplog):
    saliency = [ExplainerWithParams(CVClassificationExplainers.CV_SALIENCY_EXPLAINER)]
    with caplog.at_level(logging.WARNING), FoXaiExplainer(model().eval(), saliency):
        assert not caplog.text
    with caplog.at_level(logging.WARNING), FoXaiExplainer(model(), saliency):
        assert "training mode: it is explained in evaluation mode" in caplog.text


def test_outside_of_the_with_the_model_is_in_evaluation_mode_too():
    network = model()
    saliency = [ExplainerWithParams(CVClassificationExplainers.CV_SALIENCY_EXPLAINER)]
    output, _ = FoXaiExplainer(network, saliency)(INPUTS)
    assert network.training
    assert torch.equal(output, network.eval()(INPUTS))


def test_a_tuple_of_attributions_stays_a_tuple():
    class Halves(torch.nn.Module):
        def forward(self, maps):
            return maps[:, :1], maps[:, 1:]

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.halves = torch.nn.Conv2d(1, 2, 3).double(), Halves()

        def forward(self, inputs):
            left, right = self.halves(self.convolution(inputs))
            return torch.stack([left.sum((1, 2, 3)), right.sum((1, 2, 3))], 1)

    named = CVClassificationExplainers.CV_LAYER_INTEGRATED_GRADIENTS_EXPLAINER
    with FoXaiExplainer(Network(), [ExplainerWithParams(named, layer="halves")]) as explained:
        _, attributions = explained(INPUTS)
    assert isinstance(attributions[f"{named.name}_0"], tuple)


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: FoXaiExplainer(model(), ["CV_SALIENCY_EXPLAINER"]), TypeError, "give ExplainerWithParams"),
        (lambda: ExplainerWithParams("CV_SALIENCY_EXPLAINER"), TypeError, "give a member of CVClassif"),
        (lambda: FoXaiExplainer(None, [SALIENCY])(INPUTS), TypeError, "model is NoneType: give an nn.Module"),
        (lambda: FoXaiExplainer(model(), [SALIENCY])(INPUTS, INPUTS), NotImplementedError, "2 inputs and 0 named"),
        (lambda: FoXaiExplainer(model(), [SALIENCY])(INPUTS, mask=1), NotImplementedError, "additional_forward_args"),
        (lambda: FoXaiExplainer(model(), [SALIENCY], target=9)(INPUTS), ValueError, r"= 9, expected 0\.\.2"),
    ],
)
def test_bad_arguments_are_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
