"""Occlusion (Zeiler, Fergus 2014, arxiv.org/abs/1311.2901)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...base_explainer import CVExplainer


class OcclusionCVExplainer(CVExplainer):
    """How much the score falls where a window is covered; windows of one value, if not said otherwise."""

    algorithm = "Occlusion"
    of_outputs = True

    def finished(self, attributions: Tensor, inputs: Tensor, options: Mapping[str, Any]) -> Tensor:
        """The inputs' dtype; captum rounds to float32 on the way."""
        return attributions.to(inputs.dtype)

    def _options(self, options: Mapping[str, Any], inputs: Tensor) -> dict[str, Any]:
        return super()._options({"sliding_window_shapes": (1,) * (inputs.dim() - 1), **options}, inputs)
