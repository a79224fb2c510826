"""FoXAI's explainers: captum's algorithms on a copy of the model, one class each."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ....datasets.registry import nearest
from ....methods.explainers.base import seed_global_draws, undisturbed_draws
from ....methods.explainers.layers import (
    as_module,
    caution_functional_relus,
    caution_incomplete,
    differentiable,
    without_captums_warnings,
)
from .baselines import Baselines, baselines_for
from .layers import name_of

Target = int | tuple[int, ...] | Tensor | list[int] | list[tuple[int, ...]] | None
"""A class for all inputs, or one for each; tuples index outputs of more than two dimensions."""

OURS = {"self", "inputs", "target", "baselines", "return_convergence_delta", "show_progress", "verbose"}
EMPTY = "the attribution is empty, of shape {shape}: give one image at least, that the layer sees"


class CVExplainer:
    """One of captum's algorithms, with FoXAI's two methods.

    Attributes:
        algorithm: its name in `captum.attr`.
        of_layer: it attributes to a layer: to the last convolution, if none is given.
        distribution: it draws from the rows of a baseline; others have one for each input.
        defaults: options that differ from captum's.
        complete: its attributions sum to the difference of the logits, if every nonlinearity has a rule in captum.
        of_relus: it replaces the gradient of ReLUs.
    """

    algorithm: ClassVar[str]
    of_layer: ClassVar[bool] = False
    distribution: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, Any]] = {}
    complete: ClassVar[bool] = False
    of_relus: ClassVar[bool] = False

    def create_explainer(
        self, model: nn.Module, multiply_by_inputs: bool = True, layer: nn.Module | str | None = None
    ) -> Any:
        """Captum's object for this very model.

        Raises:
            ValueError: no such layer, or none is given and the model has no convolution.
            TypeError: a layer for an algorithm that attributes to inputs, or `multiply_by_inputs=False` for one that
                has no such choice.
        """
        captum, options = getattr(import_module("captum.attr"), self.algorithm), {}
        if not multiply_by_inputs:
            if "multiply_by_inputs" not in inspect.signature(captum).parameters:
                raise TypeError(f"{type(self).__name__} has no multiply_by_inputs=False: leave it out")
            options["multiply_by_inputs"] = False
        if not self.of_layer:
            if layer is not None:
                raise TypeError(
                    f"{type(self).__name__} attributes to inputs: leave layer out, or take a Layer… explainer"
                )
            return captum(model, **options)
        return captum(model, model.get_submodule(name_of(layer, model)), **options)

    def calculate_features(
        self,
        model: nn.Module,
        input_data: Float[Tensor, "batch *features"],
        pred_label_idx: Target = None,
        *,
        baselines: Baselines = None,
        layer: nn.Module | str | None = None,
        multiply_by_inputs: bool = True,
        seed: int = 0,
        **options: Any,
    ) -> Float[Tensor, "batch *shape"]:
        """The attributions, of the inputs' or the layer's shape; the mean over them for several baselines.

        The model is explained in evaluation mode; it, its gradients, the inputs and the global random states stay as
        they are.

        Args:
            baselines: what the inputs are compared with: zeros for None, see `baselines_for`.
            seed: of the noise baseline, and of what the algorithm draws.
            options: captum's further arguments.

        Raises:
            RuntimeError: an empty attribution.
            TypeError: an option that the algorithm has not, or inputs that are no floating-point numbers.
            ValueError: as `create_explainer` and `baselines_for`.
        """
        if not input_data.is_floating_point():
            raise TypeError(f"input_data is {input_data.dtype}: convert it to floats as the model sees them")
        if not len(input_data):
            raise RuntimeError(EMPTY.format(shape=tuple(input_data.shape)))
        copied = self.prepared(model)
        explainer = self.create_explainer(copied, multiply_by_inputs, name_of(layer, model) if self.of_layer else layer)
        options = {**self.defaults, **options}
        self._check(explainer, options, baselines)
        inputs = differentiable(input_data)
        compared: list[dict[str, Tensor]] = [{}]
        if "baselines" in inspect.signature(explainer.attribute).parameters:
            several = baselines_for(baselines, inputs, seed, distribution=self.distribution)
            compared = [{"baselines": self._rows(one)} for one in several]
        found = []
        complete = self.complete and multiply_by_inputs
        if complete:
            options["return_convergence_delta"] = True
        with undisturbed_draws(inputs.device), without_captums_warnings():
            if self.of_relus:
                caution_functional_relus(type(self).__name__, copied, inputs)
            for against in compared:
                seed_global_draws(seed, inputs.device)
                attributions = explainer.attribute(inputs, target=pred_label_idx, **against, **options)
                if complete and len(attributions) == 2:  # an empty attribution has no gap
                    attributions, delta = attributions
                    gaps = delta.view(len(inputs), -1).mean(1)  # DeepLIFT SHAP has a gap for each baseline
                    caution_incomplete(type(self).__name__, attributions, gaps)
                found.append(_whole(attributions))
        return torch.stack(found).mean(0) if len(found) > 1 else found[0]

    def prepared(self, model: nn.Module) -> nn.Module:
        """A copy of the model, for captum to hook."""
        return as_module(model)

    def _rows(self, baseline: Tensor) -> Tensor:
        """Captum wants two rows at least to draw from."""
        return torch.cat([baseline, baseline]) if self.distribution and len(baseline) == 1 else baseline

    def _check(self, explainer: Any, options: Mapping[str, Any], baselines: Baselines) -> None:
        known = inspect.signature(explainer.attribute).parameters
        names = [name for name, p in known.items() if p.kind is not p.VAR_KEYWORD and name not in OURS]
        for option in options:
            if option not in names:
                raise TypeError(f"{type(self).__name__} has no {option!r}; {nearest(option, names)}")
        if baselines is not None and "baselines" not in known:
            raise TypeError(f"{type(self).__name__} compares with no baseline: leave baselines out")


def _whole(attributions: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Captum's one tensor.

    Raises:
        RuntimeError: it is empty.
    """
    one = attributions[0] if isinstance(attributions, tuple) else attributions
    if one.numel() == 0:
        raise RuntimeError(EMPTY.format(shape=tuple(one.shape)))
    return one.detach()


class OcclusionCVExplainer(CVExplainer):
    """Zeiler, Fergus 2014; windows of one value, if not said otherwise."""

    algorithm = "Occlusion"
    defaults: ClassVar = {"sliding_window_shapes": (1, 1, 1)}


class SaliencyCVExplainer(CVExplainer):
    """Simonyan, Vedaldi, Zisserman 2014: the gradient's absolute value; with its sign if `abs=False`."""

    algorithm = "Saliency"


class InputXGradientCVExplainer(CVExplainer):
    """Shrikumar et al. 2016."""

    algorithm = "InputXGradient"


class LayerInputXGradientCVExplainer(CVExplainer):
    """Activation times gradient."""

    algorithm = "LayerGradientXActivation"
    of_layer = True


class GuidedBackpropCVExplainer(CVExplainer):
    """Springenberg et al. 2015."""

    algorithm = "GuidedBackprop"
    of_relus = True


class DeconvolutionCVExplainer(CVExplainer):
    """Zeiler, Fergus 2014."""

    algorithm = "Deconvolution"
    of_relus = True


class GuidedGradCAMCVExplainer(CVExplainer):
    """Selvaraju et al. 2017; of a layer, attributed to the inputs."""

    algorithm = "GuidedGradCam"
    of_relus = True
    of_layer = True
    defaults: ClassVar = {"interpolate_mode": "bilinear"}


class LayerGradCAMCVExplainer(CVExplainer):
    """Selvaraju et al. 2017, signed unless `relu_attributions=True`, at the layer's size."""

    algorithm = "LayerGradCam"
    of_layer = True


class LayerConductanceCVExplainer(CVExplainer):
    """Dhamdhere, Sundararajan, Yan 2019."""

    algorithm = "LayerConductance"
    of_layer = True


class DeepLIFTCVExplainer(CVExplainer):
    """Shrikumar, Greenside, Kundaje 2017."""

    algorithm = "DeepLift"
    complete = True


class LayerDeepLIFTCVExplainer(CVExplainer):
    """DeepLIFT in a layer."""

    algorithm = "LayerDeepLift"
    of_layer = True


class DeepLIFTSHAPCVExplainer(CVExplainer):
    """Lundberg, Lee 2017: DeepLIFT's mean over baselines."""

    algorithm = "DeepLiftShap"
    complete = True
    distribution = True


class LayerDeepLIFTSHAPCVExplainer(CVExplainer):
    """DeepLIFT's mean over baselines, in a layer."""

    algorithm = "LayerDeepLiftShap"
    of_layer = True
    distribution = True


class GradientSHAPCVExplainer(CVExplainer):
    """Erion et al. 2021."""

    algorithm = "GradientShap"
    distribution = True


class LayerGradientSHAPCVExplainer(CVExplainer):
    """Gradient SHAP in a layer."""

    algorithm = "LayerGradientShap"
    of_layer = True
    distribution = True


class NoiseTunnelCVExplainer(CVExplainer):
    """Smilkov et al. 2017, over integrated gradients."""

    algorithm = "IntegratedGradients"

    def create_explainer(
        self, model: nn.Module, multiply_by_inputs: bool = True, layer: nn.Module | str | None = None
    ) -> Any:
        """Captum's tunnel around captum's object for this very model; raises as the others' do."""
        from captum.attr import NoiseTunnel

        return NoiseTunnel(super().create_explainer(model, multiply_by_inputs, layer))


class LayerNoiseTunnelCVExplainer(NoiseTunnelCVExplainer):
    """The same, in a layer."""

    algorithm = "LayerIntegratedGradients"
    of_layer = True


class LRPCVExplainer(CVExplainer):
    """Bach et al. 2015, epsilon rule."""

    algorithm = "LRP"

    def prepared(self, model: nn.Module) -> nn.Module:
        """Captum writes to the parameters, so they are copied too; a flattening only passes relevance on."""
        from captum.attr._utils.lrp_rules import EpsilonRule

        copied = copy.deepcopy(super().prepared(model))
        for module in copied.modules():
            if isinstance(module, nn.Flatten | nn.Unflatten | nn.Identity):
                module.rule = EpsilonRule()  # pyrefly: ignore
        return copied


class LayerLRPCVExplainer(LRPCVExplainer):
    """The same, in a layer."""

    algorithm = "LayerLRP"
    of_layer = True
