"""Grad-CAM and guided Grad-CAM (Selvaraju et al. 2017, arxiv.org/abs/1610.02391)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from ...base_explainer import CVExplainer, log


class BaseGradCAMCVExplainer(CVExplainer):
    """A convolution's maps, weighted by their mean gradients."""

    of_layer = True


class GuidedGradCAMCVExplainer(BaseGradCAMCVExplainer):
    """Guided backpropagation times Grad-CAM of a layer, attributed to the inputs."""

    algorithm = "GuidedGradCam"
    of_relus = True
    defaults = {"interpolate_mode": "bilinear"}  # noqa: RUF012


class LayerGradCAMCVExplainer(BaseGradCAMCVExplainer):
    """Grad-CAM as FoXAI has it: one map an image, rectified, enlarged bilinearly to the image, scaled to [0, 1].

    Scaled are each image's smallest and largest values; a map without any is zero. FoXAI explains the largest logit of
    the batch whatever the target, and scales by the batch; here each image has its own target and scale.
    """

    algorithm = "LayerGradCam"
    defaults = {"relu_attributions": True}  # noqa: RUF012

    def finished(self, attributions: Tensor, inputs: Tensor, options: Mapping[str, Any]) -> Tensor:
        """Enlarges and scales captum's rectified map.

        Raises:
            ValueError: the layer's output has no rows and columns, or the inputs have none.
        """
        if attributions.dim() != 4 or inputs.dim() != 4:
            raise ValueError(
                f"Grad-CAM of {tuple(attributions.shape)} does not lie over inputs of {tuple(inputs.shape)}: name a "
                "convolution, and give images"
            )
        enlarged = F.interpolate(attributions, inputs.shape[2:], mode="bilinear", align_corners=False)
        least = enlarged.amin((1, 2, 3), keepdim=True)
        spread = enlarged.amax((1, 2, 3), keepdim=True) - least
        return (enlarged - least) / spread.where(spread > 0, 1)

    def _options(self, options: Mapping[str, Any], inputs: Tensor) -> dict[str, Any]:
        chosen = super()._options(options, inputs)
        if not chosen["relu_attributions"]:
            log.warning("%s rectifies: relu_attributions=False is ignored, as in FoXAI", self.algorithm_name)
        return chosen | {"relu_attributions": True}
