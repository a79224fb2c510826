"""The noise tunnel (Smilkov et al. 2017, arxiv.org/abs/1706.03825) over integrated gradients."""

from __future__ import annotations

from typing import Any

from ...base_explainer import CVExplainer
from ...models import Model
from ..model_utils import Layer


class BaseNoiseTunnelCVExplainer(CVExplainer):
    """Integrated gradients of noisy inputs, summed up by `nt_type`."""

    def create_explainer(
        self, model: Model, multiply_by_inputs: bool = True, layer: Layer | list[Layer] = None, **ignored: Any
    ) -> Any:
        """Captum's tunnel around captum's object for this very model; raises as the others' do."""
        return self._captum()(super().create_explainer(model, multiply_by_inputs, layer, **ignored))

    def _captum(self) -> Any:
        from captum.attr import NoiseTunnel

        return NoiseTunnel


class NoiseTunnelCVExplainer(BaseNoiseTunnelCVExplainer):
    """The tunnel of inputs."""

    algorithm = "IntegratedGradients"
    of_outputs = True


class LayerNoiseTunnelCVExplainer(BaseNoiseTunnelCVExplainer):
    """The tunnel of a layer."""

    algorithm = "LayerIntegratedGradients"
    of_layer = True
