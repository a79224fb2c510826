"""DeepLIFT (Shrikumar, Greenside, Kundaje 2017, arxiv.org/abs/1704.02685), of inputs and of a layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from captum.attr import DeepLift
from jaxtyping import Float
from torch import Tensor, nn

from .......methods.explainers.layers import caution_incomplete, incomplete
from .......methods.explainers.max_pooling import rescale_max_pooling
from ...base_explainer import CVExplainer, gaps_of
from ...models import Model


class BaseDeepLIFTCVExplainer(CVExplainer):
    """Differences from a baseline, passed back by the rescale rule.

    A module that is applied several times (the ReLU of torchvision's residual blocks) is several modules in the copy.
    """

    once = True
    complete = True

    def prepared(self, model: Model) -> nn.Module:
        """A copy whose max poolings have DeepLIFT's rule."""
        copied = super().prepared(model)
        rescale_max_pooling(copied)
        return copied


class DeepLIFTCVExplainer(BaseDeepLIFTCVExplainer):
    """DeepLIFT of inputs."""

    algorithm = "DeepLift"


class OfLayer(CVExplainer):
    """DeepLIFT of a layer, whose sum also misses what passes by the layer: the inputs' sum tells the two apart."""

    of_layer = True
    of_inputs: ClassVar[type[DeepLift]] = DeepLift

    def _caution_incomplete(
        self,
        explainer: Any,
        inputs: Tensor,
        target: Any,
        options: Mapping[str, Any],
        gaps: Float[Tensor, "batch"],
    ) -> None:
        known = {name: options[name] for name in ("baselines", "additional_forward_args") if name in options}
        whole = self.of_inputs(explainer.model)
        found, delta = whole.attribute(inputs, target=target, return_convergence_delta=True, **known)
        if incomplete((found,), of_inputs := gaps_of(delta, len(inputs))):
            caution_incomplete(f"{self.algorithm_name}, on the inputs", of_inputs)


class LayerDeepLIFTCVExplainer(OfLayer, BaseDeepLIFTCVExplainer):
    """DeepLIFT of a layer."""

    algorithm = "LayerDeepLift"
