"""Integrated gradients (Sundararajan, Taly, Yan 2017, arxiv.org/abs/1703.01365), of inputs and of a layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ...attributions import Attributions
from ...base_explainer import CVExplainer
from ...baselines import Baselines
from ...models import Model
from ...options import Method
from ...targets import Target
from ..model_utils import Layer


class BaseIntegratedGradientsCVExplainer(CVExplainer):
    """The integral of the gradients between baselines and inputs, times their difference."""

    def calculate_features(
        self,
        model: Model,
        input_data: Float[Tensor, "batch *features"],
        pred_label_idx: Target = None,
        baselines: Baselines = None,
        additional_forward_args: Any = None,
        n_steps: int = 50,
        method: Method = "gausslegendre",
        internal_batch_size: int | None = None,
        attribute_to_layer_input: bool = False,
        layer: Layer | list[Layer] = None,
        **kwargs: Any,
    ) -> Attributions:
        """The integral of the gradients between baselines and inputs, times their difference.

        Args:
            method: the quadrature; `riemann_trapezoid` has the trapezoidal rule's weights, which captum 0.9 makes too
                small by the factor (n_steps - 1) / n_steps.
            internal_batch_size: inputs times steps in one pass, at least as many as there are inputs.
            attribute_to_layer_input: to the layer's inputs, not its outputs; ignored where there is no layer.
            layer: a module, its dotted name, or a list of them, which gives a list; the last convolution for None.
            kwargs: `multiply_by_inputs`, `seed`.

        Raises:
            ValueError: no such method, too few steps; and as every explainer.
            TypeError, RuntimeError: as every explainer.
        """
        return super().calculate_features(
            model,
            input_data,
            pred_label_idx,
            baselines=baselines,
            additional_forward_args=additional_forward_args,
            layer=layer,
            n_steps=n_steps,
            method=method,
            internal_batch_size=internal_batch_size,
            attribute_to_layer_input=attribute_to_layer_input,
            **kwargs,
        )

    def finished(self, attributions: Tensor, inputs: Tensor, options: Mapping[str, Any]) -> Tensor:
        """Gives the trapezoidal rule the weights that sum to 1."""
        steps = options["n_steps"]
        return attributions * steps / (steps - 1) if options["method"] == "riemann_trapezoid" else attributions


class IntegratedGradientsCVExplainer(BaseIntegratedGradientsCVExplainer):
    """Attributions to the inputs."""

    algorithm = "IntegratedGradients"
    of_outputs = True


class LayerIntegratedGradientsCVExplainer(BaseIntegratedGradientsCVExplainer):
    """Attributions to a layer's outputs, or to its inputs."""

    algorithm = "LayerIntegratedGradients"
    of_layer = True
    of_layers = True
