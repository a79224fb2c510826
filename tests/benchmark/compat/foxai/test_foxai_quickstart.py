"""FoXAI's imports, and what its notebooks call, with the first word of the imports changed."""

import importlib
import re
from pathlib import Path

import matplotlib as mpl
import pytest
import torch
from torch import nn

HERE = "rrrbench.benchmark.compat.foxai"
ALGORITHMS = "explainer.computer_vision.algorithm"
IMPORTS = {
    "context_manager": "FoXaiExplainer ExplainerWithParams ExplainerClassWithParams CVClassificationExplainers",
    "metrics": "deletion insertion",
    "visualizer": "mean_channels_visualization single_channel_visualization draw_image visualize_metric",
    "explainer": "IntegratedGradientsCVExplainer LRPCVExplainer LayerGradCAMCVExplainer SaliencyCVExplainer",
    "explainer.base_explainer": "CVExplainer Explainer",
    "explainer.computer_vision.model_utils": "get_last_conv_model_layer",
    f"{ALGORITHMS}.conductance": "LayerConductanceCVExplainer",
    f"{ALGORITHMS}.deconv": "DeconvolutionCVExplainer",
    f"{ALGORITHMS}.deeplift": "DeepLIFTCVExplainer LayerDeepLIFTCVExplainer BaseDeepLIFTCVExplainer",
    f"{ALGORITHMS}.deeplift_shap": "DeepLIFTSHAPCVExplainer LayerDeepLIFTSHAPCVExplainer",
    f"{ALGORITHMS}.gradcam": "GuidedGradCAMCVExplainer LayerGradCAMCVExplainer BaseGradCAMCVExplainer",
    f"{ALGORITHMS}.gradient_shap": "GradientSHAPCVExplainer LayerGradientSHAPCVExplainer BaseGradientSHAPCVExplainer",
    f"{ALGORITHMS}.guided_backprop": "GuidedBackpropCVExplainer",
    f"{ALGORITHMS}.input_x_gradient": "InputXGradientCVExplainer LayerInputXGradientCVExplainer",
    f"{ALGORITHMS}.integrated_gradients": "BaseIntegratedGradientsCVExplainer IntegratedGradientsCVExplainer",
    f"{ALGORITHMS}.lrp": "LRPCVExplainer LayerLRPCVExplainer BaseLRPCVExplainer",
    f"{ALGORITHMS}.noise_tunnel": "NoiseTunnelCVExplainer LayerNoiseTunnelCVExplainer BaseNoiseTunnelCVExplainer",
    f"{ALGORITHMS}.occlusion": "OcclusionCVExplainer",
    f"{ALGORITHMS}.saliency": "SaliencyCVExplainer",
}


@pytest.mark.parametrize("module", IMPORTS)
def test_modules_and_names_are_foxai_s(module):
    found = importlib.import_module(f"{HERE}.{module}")
    assert all(getattr(found, name).__name__ for name in IMPORTS[module].split())


def test_both_integrated_gradients_have_one_base():
    foxai = importlib.import_module(HERE)
    assert issubclass(foxai.IntegratedGradientsCVExplainer, foxai.BaseIntegratedGradientsCVExplainer)
    assert issubclass(foxai.LayerIntegratedGradientsCVExplainer, foxai.BaseIntegratedGradientsCVExplainer)


def test_the_documentation_s_code_runs():
    text = (Path(__file__).parents[4] / "docs" / "foxai.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(block, names)
    assert names["attributions"]["CV_SALIENCY_EXPLAINER_0"].shape == (5, 1, 8, 8)


BASIC_USAGE = """
from foxai.context_manager import FoXaiExplainer, ExplainerWithParams, CVClassificationExplainers
from foxai.visualizer import mean_channels_visualization, draw_image

draw_image(samples[0], title="first", ax=axes)
known = CVClassificationExplainers
last = [part for part in model.modules() if isinstance(part, torch.nn.Conv2d)][-1]
of_inputs = [known.CV_GRADIENT_SHAP_EXPLAINER, known.CV_INPUT_X_GRADIENT_EXPLAINER]
of_inputs += [known.CV_INTEGRATED_GRADIENTS_EXPLAINER]
of_layers = [known.CV_GUIDEDGRADCAM_EXPLAINER, known.CV_LAYER_GRADCAM_EXPLAINER]
chosen = [ExplainerWithParams(explainer_name=name) for name in of_inputs]
chosen += [ExplainerWithParams(explainer_name=name, layer=last) for name in of_layers]
for sample, label in zip(samples, labels):
    with FoXaiExplainer(model=model, explainers=chosen, target=label) as explained:
        _, found = explained(sample[None])
    for key, value in found.items():
        figure = mean_channels_visualization(attributions=value[0], transformed_img=sample, title=key)
        (folder / key).mkdir(exist_ok=True)
        figure.savefig(folder / key / f"artifact_{label}.png")
"""
"""What FoXAI's notebook of basic usage calls; XRAI and the download of ImageNet aside."""

METRICS = """
from foxai.context_manager import FoXaiExplainer, ExplainerWithParams, CVClassificationExplainers
from foxai.visualizer import mean_channels_visualization, single_channel_visualization
from foxai.metrics import insertion, deletion
from foxai.visualizer import visualize_metric

name = CVClassificationExplainers.CV_LAYER_GRADCAM_EXPLAINER
last = [part for part in model.modules() if isinstance(part, torch.nn.Conv2d)][-1]
gradcam = ExplainerWithParams(explainer_name=name, layer=last)
with FoXaiExplainer(model=model, explainers=[gradcam], target=labels[0]) as explained:
    logits, found = explained(samples[:1])
    value = found[f"{name.name}_0"][0]
    figure = mean_channels_visualization(attributions=value, transformed_img=samples[0], title="mean")
    inserted, curve = insertion(value, samples[0], model, logits.argmax())
    visualize_metric(curve, inserted, metric_type="Insertion")
    deleted, curve = deletion(value, samples[0], model, logits.argmax())
    visualize_metric(curve, deleted, metric_type="Deletion")
"""
"""What FoXAI's notebook of insertion and deletion calls."""


def small_vgg():
    """VGG's kinds of layers: convolutions, ReLUs in place, pooling, dropout, dense layers."""
    torch.manual_seed(0)
    features = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1)]
    head = [nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(54, 8), nn.ReLU(True), nn.Dropout()]
    return nn.Sequential(*features, *head, nn.Linear(8, 5)).eval()


@pytest.fixture
def names(tmp_path):
    samples = torch.rand(2, 3, 16, 12, generator=torch.Generator().manual_seed(1))
    axes = mpl.figure.Figure().subplots()
    return {
        "torch": torch,
        "model": small_vgg(),
        "samples": samples,
        "labels": torch.tensor([0, 3]),
        "axes": axes,
        "folder": tmp_path,
    }


@pytest.mark.long
def test_basic_usage_runs_with_the_import_changed(names, tmp_path):
    exec(BASIC_USAGE.replace("from foxai.", f"from {HERE}."), names)
    made = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert made == sorted(
        f"CV_{name}_EXPLAINER_{index}/artifact_{label}.png"
        for index, name in enumerate(
            ["GRADIENT_SHAP", "INPUT_X_GRADIENT", "INTEGRATED_GRADIENTS", "GUIDEDGRADCAM", "LAYER_GRADCAM"]
        )
        for label in (0, 3)
    )


def test_insertion_and_deletion_run_with_the_import_changed(names):
    exec(METRICS.replace("from foxai.", f"from {HERE}."), names)
    assert 0 < names["deleted"] < 1
    assert 0 < names["inserted"] < 1
