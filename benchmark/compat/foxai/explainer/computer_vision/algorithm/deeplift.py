"""DeepLIFT (Shrikumar, Greenside, Kundaje 2017, arxiv.org/abs/1704.02685), of inputs and of a layer."""

from __future__ import annotations

from torch import nn

from .......methods.explainers.max_pooling import rescale_max_pooling
from ...base_explainer import CVExplainer
from ...models import Model


class BaseDeepLIFTCVExplainer(CVExplainer):
    """Differences from a baseline, passed back by the rescale rule.

    A module that is applied several times (the ReLU of torchvision's residual blocks) is several modules in the copy.
    """

    once = True

    def prepared(self, model: Model) -> nn.Module:
        """A copy whose max poolings have DeepLIFT's rule."""
        copied = super().prepared(model)
        rescale_max_pooling(copied)
        return copied


class DeepLIFTCVExplainer(BaseDeepLIFTCVExplainer):
    """DeepLIFT of inputs."""

    algorithm = "DeepLift"
    complete = True


class LayerDeepLIFTCVExplainer(BaseDeepLIFTCVExplainer):
    """DeepLIFT of a layer."""

    algorithm = "LayerDeepLift"
    of_layer = True
