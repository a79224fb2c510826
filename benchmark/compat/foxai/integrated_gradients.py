"""FoXAI's integrated gradients (Sundararajan, Taly, Yan 2017, arxiv.org/abs/1703.01365), of inputs and of a layer."""

from __future__ import annotations

from typing import Any, Literal, get_args

from jaxtyping import Float
from torch import Tensor, nn

from .baselines import Baselines
from .explainers import CVExplainer, Target

Method = Literal["riemann_right", "riemann_left", "riemann_middle", "riemann_trapezoid", "gausslegendre"]


class IntegratedGradientsCVExplainer(CVExplainer):
    """Attributions to the inputs."""

    algorithm = "IntegratedGradients"

    def calculate_features(
        self,
        model: nn.Module,
        input_data: Float[Tensor, "batch *features"],
        pred_label_idx: Target = None,
        baselines: Baselines = None,
        additional_forward_args: Any = None,
        n_steps: int = 50,
        method: Method = "gausslegendre",
        internal_batch_size: int | None = None,
        attribute_to_layer_input: bool = False,
        **kwargs: Any,
    ) -> Float[Tensor, "batch *shape"]:
        """The integral of the gradients between baselines and inputs, times their difference.

        Args:
            method: the quadrature; `riemann_trapezoid` has the trapezoidal rule's weights, which captum 0.9 makes too
                small by the factor (n_steps - 1) / n_steps.
            internal_batch_size: inputs times steps in one pass, at least as many as there are inputs.
            kwargs: `layer`, `multiply_by_inputs`, `seed`.

        Raises:
            ValueError: no such method, too few steps; and as every explainer.
            TypeError, RuntimeError: as every explainer.
        """
        least = 1 if method == "gausslegendre" else 2
        if method not in get_args(Method):
            raise ValueError(f"method = {method!r}, expected one of {', '.join(get_args(Method))}")
        if n_steps < least:
            raise ValueError(f"n_steps = {n_steps}: {method} needs at least {least}")
        options: dict[str, Any] = {"attribute_to_layer_input": True} if attribute_to_layer_input else {}
        attributions = super().calculate_features(
            model,
            input_data,
            pred_label_idx,
            baselines=baselines,
            additional_forward_args=additional_forward_args,
            n_steps=n_steps,
            method=method,
            internal_batch_size=internal_batch_size,
            **options,
            **kwargs,
        )
        return attributions * n_steps / (n_steps - 1) if method == "riemann_trapezoid" else attributions


class LayerIntegratedGradientsCVExplainer(IntegratedGradientsCVExplainer):
    """Attributions to a layer's outputs, or to its inputs."""

    algorithm = "LayerIntegratedGradients"
    of_layer = True
