"""DeepLIFT (Shrikumar, Greenside, Kundaje 2017, arxiv.org/abs/1704.02685), of inputs and of a layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from captum.attr import DeepLift
from torch import Tensor, nn

from .......methods.explainers.layers import caution_incomplete, incomplete
from .......methods.explainers.max_pooling import rescale_max_pooling
from ...attributions import Attributions, unwrapped
from ...base_explainer import CVExplainer
from ...models import Model


class BaseDeepLIFTCVExplainer(CVExplainer):
    """Differences from a baseline, passed back by the rescale rule.

    A module that is applied several times (the ReLU of torchvision's residual blocks) is several modules in the copy.
    """

    once = True
    of_inputs: ClassVar[type[DeepLift]] = DeepLift
    """Captum's class for inputs, by which a layer's explainer is checked: only the inputs' attributions must sum."""

    def prepared(self, model: Model) -> nn.Module:
        """A copy whose max poolings have DeepLIFT's rule."""
        copied = super().prepared(model)
        rescale_max_pooling(copied)
        return copied

    def _attributions(
        self, explainer: Any, inputs: Tensor, target: Any, options: Mapping[str, Any], multiplied: bool
    ) -> Attributions:
        if not (self.of_layer and multiplied):
            return super()._attributions(explainer, inputs, target, options, multiplied)
        result = explainer.attribute(inputs, target=target, return_convergence_delta=True, **options)
        if len(result) != 2:  # an empty attribution has no gap
            return unwrapped(result)
        found, gaps = result
        parts = found if isinstance(found, tuple) else (found,)
        if incomplete(parts, gaps.view(len(inputs), -1).mean(1)):  # what passes by the layer is missing too
            known = {name: options[name] for name in ("baselines", "additional_forward_args") if name in options}
            whole = self.of_inputs(explainer.model)
            of_inputs, gaps = whole.attribute(inputs, target=target, return_convergence_delta=True, **known)
            caution_incomplete(f"{self.algorithm_name}, on the inputs", of_inputs, gaps.view(len(inputs), -1).mean(1))
        return unwrapped(found)


class DeepLIFTCVExplainer(BaseDeepLIFTCVExplainer):
    """DeepLIFT of inputs."""

    algorithm = "DeepLift"
    complete = True


class LayerDeepLIFTCVExplainer(BaseDeepLIFTCVExplainer):
    """DeepLIFT of a layer."""

    algorithm = "LayerDeepLift"
    of_layer = True
