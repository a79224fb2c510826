"""On a network whose neighbouring layers captum handles, ours are captum's attributions."""

import numpy as np
import pytest
import torch
from captum import attr as captum
from rrrbench.methods.explainers.base import explainers
from torch import nn
from torch.nn import functional as F

INPUTS = torch.rand(4, 2, 7, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
BASELINES = torch.rand(4, 2, 7, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
TARGET = torch.tensor([0, 2, 1, 0])


def network():
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(2, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 2), nn.Softplus()]
    network = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 3)).double().eval()
    for parameter in network.parameters():
        parameter.data *= 3
    return network


def enlarged(maps):
    return F.interpolate(maps.sum(1, keepdim=True), (7, 6), mode="bilinear").expand_as(INPUTS)


def one_by_one(attribute):
    """Captum's draws, from generators that are seeded alike for every input."""
    found = []
    for n in range(len(INPUTS)):
        torch.manual_seed(3)
        np.random.seed(3)  # noqa: NPY002
        found.append(attribute(INPUTS[[n]], BASELINES[[n]], TARGET[[n]]))
    return torch.cat(found)


def expected(name, module):
    inputs = INPUTS.clone().requires_grad_()
    match name:
        case "gradient_times_input":
            return captum.InputXGradient(module).attribute(inputs, TARGET)
        case "smooth_gradient":
            tunnel = captum.NoiseTunnel(captum.Saliency(module))
            return one_by_one(lambda x, b, t: tunnel.attribute(x, nt_samples=9, stdevs=0.2, target=t, abs=False))
        case "integrated_gradients":
            return captum.IntegratedGradients(module).attribute(inputs, BASELINES, TARGET, n_steps=20)
        case "gradient_shap":
            shap = captum.GradientShap(module)
            return one_by_one(lambda x, b, t: shap.attribute(x, b, n_samples=9, stdevs=0.1, target=t))
        case "occlusion":
            window = {"sliding_window_shapes": (2, 3, 3), "strides": (2, 2, 2)}
            return captum.Occlusion(module).attribute(inputs, **window, baselines=BASELINES, target=TARGET)
        case "deeplift":
            return captum.DeepLift(module).attribute(inputs, BASELINES, TARGET)
        case "gradcam":
            return enlarged(captum.LayerGradCam(module, module[2]).attribute(inputs, TARGET, relu_attributions=True))
        case "guided_gradcam":
            guided = captum.GuidedGradCam(module, module[2])
            return guided.attribute(inputs, TARGET, interpolate_mode="bilinear")
        case "layer_integrated_gradients":
            layer = captum.LayerIntegratedGradients(module, module[2])
            return enlarged(layer.attribute(inputs, BASELINES, TARGET, n_steps=20))
    raise AssertionError(name)


OURS = {
    "gradient_times_input": {},
    "smooth_gradient": {"n_samples": 9, "noise": 0.2, "seed": 3},
    "integrated_gradients": {"n_steps": 20},
    "gradient_shap": {"n_samples": 9, "noise": 0.1, "seed": 3},
    "occlusion": {"window": 3, "stride": 2},
    "deeplift": {},
    "gradcam": {},
    "guided_gradcam": {},
    "layer_integrated_gradients": {"n_steps": 20},
}


@pytest.mark.filterwarnings("ignore:Setting")
@pytest.mark.parametrize("name", OURS)
def test_agrees_with_captum(name):
    module = network()
    explainer = explainers.resolve({"name": name, **OURS[name]})
    baselines = BASELINES if explainer.has_baseline else None
    with torch.random.fork_rng():
        wanted = expected(name, module).detach()
    assert wanted.abs().max() > 1e-3
    rounding = {"rtol": 1e-5, "atol": 1e-6} if name == "occlusion" else {}  # captum's occlusion is float32
    found = explainer.attribute(module, INPUTS, TARGET, baselines)
    torch.testing.assert_close(found, wanted.to(found), **rounding)
