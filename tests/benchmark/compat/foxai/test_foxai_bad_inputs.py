"""Arguments that mean nothing: an error of a documented type that names the thing, its value and the way out."""

import functools
import math
import re

import numpy as np
import pytest
import torch
from foxai_network import EVERY, INPUTS, TARGET, as_id, model, named
from rrrbench.benchmark.compat import foxai
from rrrbench.benchmark.compat.foxai import (
    CVClassificationExplainers,
    IntegratedGradientsCVExplainer,
    LayerIntegratedGradientsCVExplainer,
    OcclusionCVExplainer,
    SaliencyCVExplainer,
)
from torch import nn

pytestmark = pytest.mark.usefixtures("shapes_unchecked")
OF_OUTPUTS = [one for one in CVClassificationExplainers if named(one).of_outputs]
OF_MODULES = [one for one in CVClassificationExplainers if not named(one).of_outputs]


def refused(kind, message, call):
    with pytest.raises((TypeError, ValueError, RuntimeError)) as caught:
        call()
    assert type(caught.value) is kind
    assert re.search(message, str(caught.value)), str(caught.value)


def with_one(value):
    inputs = INPUTS.clone()
    inputs[1, 0, 2, 3] = value
    return inputs


@EVERY
@pytest.mark.parametrize(
    ("inputs", "kind", "message"),
    [
        (INPUTS.int(), TypeError, r"input_data is torch\.int32: convert it to floats"),
        (INPUTS > 0.5, TypeError, r"input_data is torch\.bool: convert"),
        (INPUTS.to(torch.complex128), TypeError, "complex128: convert"),
        (
            INPUTS.float(),
            TypeError,
            r"input_data is torch\.float32, the model's parameters are torch\.float64: convert",
        ),
        (INPUTS.half(), TypeError, r"float16, the model's parameters are torch\.float64"),
        (INPUTS.numpy(), TypeError, "input_data is a ndarray: give a tensor, for example by torch.as_tensor"),
        (INPUTS.tolist(), TypeError, "input_data is a list: give a tensor"),
        (INPUTS.to_sparse(), TypeError, r"input_data is torch\.sparse_coo: convert it by input_data\.to_dense"),
        (None, TypeError, "input_data is a NoneType"),
        ((INPUTS, INPUTS), TypeError, "input_data is a tuple"),
        (with_one(math.nan), ValueError, r"input_data\[1\] holds NaN or infinity: leave it out"),
        (with_one(math.inf), ValueError, r"input_data\[1\] holds NaN or infinity"),
        (INPUTS[:0], RuntimeError, r"empty, of shape \(0, 1, 8, 6\): give one image at least"),
        (INPUTS[:, :, :0], RuntimeError, "empty"),
        (torch.tensor(0.5), ValueError, r"shape \(\): give a batch, for example by unsqueeze\(0\)"),
        (INPUTS.flatten(), ValueError, r"shape \(144,\): give a batch"),
        (
            INPUTS.expand(3, 3, 8, 6),
            RuntimeError,
            r"fails on input_data of shape \(3, 3, 8, 6\): .* Give inputs of the",
        ),
        (INPUTS.flatten(1), RuntimeError, r"fails on input_data of shape \(3, 48\)"),
        (torch.rand(3, 1, 9, 30, dtype=torch.float64), RuntimeError, r"\(3, 1, 9, 30\): .* shape that it was trained"),
    ],
    ids=as_id,
)
def test_inputs(explainer, inputs, kind, message):
    refused(kind, message, lambda: named(explainer).calculate_features(model(), inputs, 0))


@EVERY
@pytest.mark.parametrize(
    ("target", "kind", "message"),
    [
        (3, ValueError, r"pred_label_idx = 3, expected 0\.\.2: the model returns \(3, 3\)"),
        (-1, ValueError, r"pred_label_idx = -1, expected 0\.\.2"),
        (np.int64(7), ValueError, r"= 7, expected 0\.\.2"),
        (True, TypeError, "pred_label_idx holds True: give classes as integers"),
        (np.True_, TypeError, "integers"),
        (1.0, TypeError, r"holds 1\.0: give classes as integers"),
        ("2", TypeError, "holds '2'"),
        (None, ValueError, r"pred_label_idx is None, but the model returns \(3, 3\): give the class"),
        (
            torch.tensor([0.0, 1.0, 2.0]),
            TypeError,
            r"is torch\.float32: give classes as integers, for example by argmax",
        ),
        (torch.tensor([True, False, True]), TypeError, r"is torch\.bool"),
        (torch.tensor([0, 1]), ValueError, "2 targets for 3 inputs: give a class for each input, or one for all"),
        (torch.tensor([0, 1, 3]), ValueError, r"= 3, expected 0\.\.2"),
        (torch.tensor([0, -1, 2]), ValueError, r"= -1, expected 0\.\.2"),
        (torch.eye(3).long(), ValueError, r"shape \(3, 3\): give a class for each input, not a row; one-hot"),
        (torch.tensor([], dtype=torch.long), ValueError, "0 targets for 3 inputs"),
        ([], ValueError, "0 targets for 3 inputs"),
        ([0, 1, 2, 0], ValueError, "4 targets for 3 inputs"),
        ([0, True, 2], TypeError, "holds True"),
        ([0, None, 2], TypeError, "holds None"),
        ((0, 1, 2), ValueError, r"is a tuple of 3: a tuple indexes outputs of more than two dimensions"),
        (np.array([0.5, 1, 2]), TypeError, r"is torch\.float64"),
        ({0: 1}, TypeError, r"holds \{0: 1\}"),
    ],
    ids=as_id,
)
def test_targets(explainer, target, kind, message):
    refused(kind, message, lambda: named(explainer).calculate_features(model(), INPUTS, target))


@pytest.mark.parametrize(
    "target",
    [np.int64(2), np.int8(2), np.array(2), np.array([2, 2, 2]), [np.int64(2)] * 3, torch.tensor(2, dtype=torch.uint8)],
    ids=as_id,
)
@EVERY
def test_targets_of_numpy_and_small_tensors_are_targets(explainer, target):
    found = named(explainer).calculate_features(model(), INPUTS, target)
    assert torch.equal(found, named(explainer).calculate_features(model(), INPUTS, 2))


IMAGE = INPUTS[0].numpy()


@pytest.mark.parametrize(
    ("baseline", "same_as"),
    [
        (INPUTS.flip(0).numpy(), INPUTS.flip(0)),
        (IMAGE, INPUTS[:1]),
        (np.float32(0.5), 0.5),
        (np.int64(1), 1.0),
        (np.array(0.5), 0.5),
        ((INPUTS.flip(0),), INPUTS.flip(0)),
        ([0.5], 0.5),
        (1, 1.0),
        (torch.tensor(0.5), 0.5),
        (torch.ones(1, 1, 8, 6, dtype=torch.int32), 1.0),
        (INPUTS.flip(0).float().double().requires_grad_(), INPUTS.flip(0).float().double()),
    ],
)
@pytest.mark.parametrize("name", ["IntegratedGradients", "DeepLIFT", "Occlusion", "LayerIntegratedGradients"])
def test_baselines_of_numpy_and_in_a_tuple_are_baselines(name, baseline, same_as):
    explain = getattr(foxai, f"{name}CVExplainer")().calculate_features
    found = explain(model(), INPUTS, TARGET, baselines=baseline)
    assert torch.equal(found, explain(model(), INPUTS, TARGET, baselines=same_as))


@pytest.mark.parametrize(
    ("baseline", "kind", "message"),
    [
        ("blur", ValueError, "baselines = 'blur': the only ones with a name"),
        (True, TypeError, "baselines = True: give a number, a tensor"),
        ({"zero": 0}, TypeError, "baselines = {'zero': 0}: give a number"),
        (
            (INPUTS, INPUTS),
            TypeError,
            "baselines is a tuple of 2, for a model of one input: give a tensor, or torch.st",
        ),
        ((), TypeError, "tuple of 0"),
        (math.nan, ValueError, "baselines hold NaN or infinity: give finite numbers, or None"),
        (with_one(math.inf), ValueError, "NaN or infinity"),
        (np.full((1, 1, 8, 6), np.nan), ValueError, "NaN or infinity"),
        (INPUTS > 0.5, TypeError, r"baselines are torch\.bool: convert"),
        (INPUTS.to(torch.complex128), TypeError, "complex"),
        (INPUTS[:2], ValueError, r"baselines of \(2, 1, 8, 6\) for inputs of \(3, 1, 8, 6\): give a number"),
        (INPUTS[:, :, :4], ValueError, r"baselines of \(3, 1, 4, 6\)"),
        (INPUTS[:0], ValueError, r"\(0, 1, 8, 6\) hold no baseline"),
        (np.array(["a"]), TypeError, "baselines|can't convert"),
    ],
    ids=as_id,
)
def test_baselines(baseline, kind, message):
    explain = IntegratedGradientsCVExplainer().calculate_features
    refused(kind, message, lambda: explain(model(), INPUTS, 0, baselines=baseline))


@pytest.mark.parametrize(
    ("name", "options", "kind", "message"),
    [
        ("IntegratedGradients", {"n_steps": -5}, ValueError, "n_steps = -5: gausslegendre needs at least 1"),
        ("IntegratedGradients", {"n_steps": True}, TypeError, "n_steps = True: give an integer"),
        ("IntegratedGradients", {"n_steps": 50.0}, TypeError, r"n_steps = 50\.0: give an integer"),
        ("IntegratedGradients", {"n_steps": None}, TypeError, "n_steps = None"),
        ("IntegratedGradients", {"n_steps": "50"}, TypeError, "n_steps = '50'"),
        ("IntegratedGradients", {"method": None}, ValueError, "method = None, expected one of riemann_right"),
        ("IntegratedGradients", {"internal_batch_size": 0}, ValueError, "internal_batch_size = 0: give 1 or more"),
        ("IntegratedGradients", {"internal_batch_size": True}, TypeError, "internal_batch_size = True"),
        ("IntegratedGradients", {"multiply_by_inputs": 0}, TypeError, "multiply_by_inputs = 0: give True or False"),
        ("IntegratedGradients", {"additional_forward_args": (1,)}, RuntimeError, "takes .* positional argument"),
        ("IntegratedGradients", {"seed": "a"}, TypeError, "seed = 'a': give an integer"),
        ("IntegratedGradients", {"seed": True}, TypeError, "seed = True: give an integer"),
        ("IntegratedGradients", {"seed": -1}, ValueError, "seed = -1: give an integer from 0 to 4294967295"),
        ("LayerIntegratedGradients", {"attribute_to_layer_input": 1}, TypeError, "attribute_to_layer_input = 1"),
        ("LayerIntegratedGradients", {"layer": 3}, ValueError, "layer 3 is none of the model's: give one of 0, 1"),
        ("LayerIntegratedGradients", {"layer": "conv1"}, ValueError, "has no layer 'conv1'"),
        ("LayerIntegratedGradients", {"layer": nn.Conv2d(1, 4, 3)}, ValueError, "is none of the model's"),
        ("LayerConductance", {"method": "simpson"}, ValueError, "method = 'simpson', expected one of"),
        ("LayerConductance", {"n_steps": -1}, ValueError, "n_steps = -1"),
        ("LayerConductance", {"layer": ""}, ValueError, "has no layer ''"),
        ("GradientSHAP", {"n_samples": 0}, ValueError, "n_samples = 0: give 1 or more"),
        ("GradientSHAP", {"n_samples": 2.5}, TypeError, r"n_samples = 2\.5"),
        ("GradientSHAP", {"stdevs": -1.0}, ValueError, r"stdevs = -1\.0: give a finite number, 0 or more"),
        ("GradientSHAP", {"stdevs": math.nan}, ValueError, "stdevs = nan"),
        ("GradientSHAP", {"stdevs": "wide"}, TypeError, "stdevs = 'wide': give a number"),
        ("NoiseTunnel", {"nt_type": "smooth"}, ValueError, "nt_type = 'smooth', expected one of smoothgrad"),
        ("NoiseTunnel", {"nt_samples": -3}, ValueError, "nt_samples = -3"),
        ("NoiseTunnel", {"nt_samples_batch_size": 0}, ValueError, "nt_samples_batch_size = 0"),
        ("NoiseTunnel", {"baselines": 0.5}, TypeError, "compares with no baseline: leave baselines out"),
        ("Saliency", {"baselines": 0.5}, TypeError, "compares with no baseline"),
        ("Saliency", {"abs": "no"}, TypeError, "abs = 'no': give True or False"),
        ("Saliency", {"n_steps": 5}, TypeError, "has no 'n_steps'"),
        ("Occlusion", {"sliding_window_shapes": (3, 3)}, ValueError, r"\(3, 3\) does not fit inputs of \(1, 8, 6\)"),
        ("Occlusion", {"sliding_window_shapes": (1, 9, 3)}, ValueError, "does not fit inputs"),
        ("Occlusion", {"sliding_window_shapes": (1, 0, 3)}, ValueError, "sliding_window_shapes = 0: give 1 or more"),
        ("Occlusion", {"sliding_window_shapes": (1, 2.0, 3)}, TypeError, r"sliding_window_shapes = 2\.0"),
        ("Occlusion", {"sliding_window_shapes": None}, TypeError, "sliding_window_shapes = None: give a size for each"),
        ("Occlusion", {"strides": 0}, ValueError, "strides = 0: give 1 or more"),
        ("Occlusion", {"strides": (1, 2, 1)}, ValueError, "captum refuses: .*[Ss]trid"),
        ("Occlusion", {"perturbations_per_eval": -1}, ValueError, "perturbations_per_eval = -1"),
        ("GuidedGradCAM", {"interpolate_mode": "cubic"}, ValueError, "interpolate_mode = 'cubic', expected one of"),
        ("LayerGradCAM", {"relu_attributions": "yes"}, TypeError, "relu_attributions = 'yes': give True or False"),
        ("LRP", {"verbose": 1}, TypeError, "verbose = 1: give True or False"),
        ("DeepLIFT", {"return_convergence_delta": True}, TypeError, "has no 'return_convergence_delta'"),
    ],
    ids=as_id,
)
def test_options(name, options, kind, message):
    explain = getattr(foxai, f"{name}CVExplainer")().calculate_features
    refused(kind, message, lambda: explain(model(), INPUTS, 0, **options))


class Returns(nn.Module):
    """A convolution whose maps become what a test says."""

    def __init__(self, made):
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.made = nn.Conv2d(1, 3, 3).double(), made

    def forward(self, inputs):
        return self.made(self.convolution(inputs).mean((2, 3)))


@pytest.mark.parametrize(
    ("made", "target", "kind", "message"),
    [
        (lambda logits: (logits, logits), 0, TypeError, "returns a tuple, not a tensor of logits: explain a module"),
        (lambda logits: {"logits": logits}, 0, TypeError, "returns a dict, not a tensor"),
        (lambda logits: None, 0, TypeError, "returns a NoneType"),
        (lambda logits: logits.argmax(1), None, TypeError, r"returns torch\.int64: return the logits"),
        (lambda logits: logits.sum(), None, ValueError, "a single number for the whole batch: return a row for each"),
        (lambda logits: logits[:, 0], 0, ValueError, r"= 0, but the model returns one value for each input: leave it"),
        (lambda logits: logits[:, :1], 1, ValueError, r"= 1, expected 0\.\.0 \(its single logit; negate"),
        (lambda logits: logits[:, :, None], 0, ValueError, r"1 index for an output of \(3, 3, 1\): .* a tuple of 2"),
        (lambda logits: logits[:, :, None], (0, 4), ValueError, r"= 4, expected 0\.\.0"),
        (lambda logits: logits[:, :, None], [(0, 0)], ValueError, "1 targets for 3 inputs"),
        (lambda logits: logits * math.nan, 0, ValueError, "returns NaN: check its parameters"),
        (lambda logits: logits.detach(), 0, ValueError, "has no gradient by input_data: .* detaches"),
        (lambda logits: torch.zeros(3, 3, dtype=torch.float64), 0, ValueError, "has no gradient by input_data"),
    ],
)
def test_outputs(made, target, kind, message):
    refused(kind, message, lambda: SaliencyCVExplainer().calculate_features(Returns(made), INPUTS, target))


@EVERY
def test_one_logit_is_explained_with_and_without_a_target(explainer):
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 1)).double()
    found = named(explainer).calculate_features(network, INPUTS)
    assert torch.equal(found, named(explainer).calculate_features(network, INPUTS, 0))


@EVERY
@pytest.mark.parametrize(
    ("broken", "kind", "message"),
    [
        (None, TypeError, "model is NoneType: give an nn.Module"),
        ({"weight": 1}, TypeError, "model is dict"),
        ("resnet18", TypeError, "model is str"),
        (nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3, track_running_stats=False)), ValueError, "layer '1', a "),
    ],
    ids=as_id,
)
def test_models(explainer, broken, kind, message):
    refused(kind, message, lambda: named(explainer).calculate_features(broken, INPUTS.float(), 0))


def test_a_model_that_keeps_tensors_of_a_graph_is_named():
    network = model()
    network.kept = network(INPUTS)
    refused(
        ValueError,
        "Sequential can not be copied .*: detach tensors",
        lambda: SaliencyCVExplainer().calculate_features(network, INPUTS, 0),
    )


def test_an_infinite_gradient_is_no_attribution():
    root = Returns(lambda logits: (logits * 0).sqrt())
    refused(
        ValueError,
        "attributions hold NaN or infinity: the model's gradient",
        lambda: IntegratedGradientsCVExplainer().calculate_features(root, INPUTS, 0),
    )


@EVERY
def test_training_mode_with_batch_norm_and_dropout_is_evaluation_mode(explainer):
    """In training mode an image's logits depend on the batch; attributions do not, and statistics stay."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(96, 3)]
    network = nn.Sequential(*layers).double()
    network(INPUTS)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = named(explainer).calculate_features(network, INPUTS, TARGET)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(named(explainer).calculate_features(network.eval(), INPUTS, TARGET), found)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:.torch.jit.trace")
def test_a_script_module_is_refused_and_a_compiled_module_is_its_module():
    network = model().eval()
    traced = torch.jit.trace(network, INPUTS)
    refused(
        TypeError,
        "model is a ScriptModule, which takes no hooks: give the nn.Module that it was made of",
        lambda: SaliencyCVExplainer().calculate_features(traced, INPUTS, 0),
    )
    compiled = torch.compile(network, backend="eager")
    found = LayerIntegratedGradientsCVExplainer().calculate_features(compiled, INPUTS, 0, layer="0")
    assert torch.equal(found, LayerIntegratedGradientsCVExplainer().calculate_features(network, INPUTS, 0, layer="0"))


def test_half_precision_that_captum_mixes_is_named():
    half = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(48, 3)).bfloat16()
    assert SaliencyCVExplainer().calculate_features(half, INPUTS.bfloat16(), 0).dtype == torch.bfloat16
    refused(
        TypeError,
        r"captum draws float32 numbers, the model has others .*: explain model\.float\(\)",
        lambda: foxai.GradientSHAPCVExplainer().calculate_features(half, INPUTS.bfloat16(), 0),
    )


# Functions.


@pytest.mark.parametrize("explainer", OF_OUTPUTS, ids=lambda one: one.name)
def test_a_function_is_a_model(explainer):
    network = model().eval()

    def shifted(inputs, shift):
        return network(inputs) + shift

    wanted = named(explainer).calculate_features(network, INPUTS, TARGET)
    for function in (lambda inputs: network(inputs), functools.partial(shifted, shift=1.0), network.forward):
        torch.testing.assert_close(named(explainer).calculate_features(function, INPUTS, TARGET), wanted)


@pytest.mark.parametrize("explainer", OF_MODULES, ids=lambda one: one.name)
def test_a_function_without_layers_is_refused(explainer):
    refused(
        TypeError,
        f"model is a function, and {explainer.value} looks into layers: give the nn.Module itself",
        lambda: named(explainer).calculate_features(lambda inputs: model()(inputs), INPUTS, 0),
    )


@EVERY
def test_a_module_s_forward_is_the_module(explainer):
    network = model()
    found = named(explainer).calculate_features(network.forward, INPUTS, TARGET)
    assert torch.equal(found, named(explainer).calculate_features(network, INPUTS, TARGET))
    assert network.training


def test_a_module_s_method_is_explained_in_evaluation_mode():
    class Halved(nn.Sequential):
        def half(self, inputs):
            return self(inputs) / 2

    network = Halved(*model())
    found = SaliencyCVExplainer().calculate_features(network.half, INPUTS, TARGET)
    torch.testing.assert_close(found, SaliencyCVExplainer().calculate_features(network, INPUTS, TARGET) / 2)
    assert network.training


# Modes of torch.


@EVERY
def test_explains_in_inference_mode(explainer):
    wanted = named(explainer).calculate_features(model(), INPUTS, TARGET)
    with torch.inference_mode():
        network, inputs, target = model(), INPUTS.clone(), TARGET.clone()
        found = named(explainer).calculate_features(network, inputs, target)
    assert torch.equal(found, wanted)
    assert torch.equal(named(explainer).calculate_features(network, inputs, target), wanted)


@EVERY
def test_explains_without_gradients(explainer):
    with torch.no_grad():
        found = named(explainer).calculate_features(model(), INPUTS, TARGET)
    assert torch.equal(found, named(explainer).calculate_features(model(), INPUTS, TARGET))


def test_windows_of_rows_of_features():
    dense = nn.Linear(6, 3).double()
    found = OcclusionCVExplainer().calculate_features(dense, INPUTS[:, 0, 0], TARGET)
    torch.testing.assert_close(found, dense.weight.detach()[TARGET] * INPUTS[:, 0, 0], rtol=1e-5, atol=1e-7)


def test_a_layer_of_another_model_is_refused_by_create_explainer_too():
    with pytest.raises(ValueError, match="is none of the model's"):
        LayerIntegratedGradientsCVExplainer().create_explainer(model(), layer=model()[0])
    with pytest.raises(TypeError, match="create_explainer has no baselines"):
        SaliencyCVExplainer().create_explainer(model(), baselines=1)
