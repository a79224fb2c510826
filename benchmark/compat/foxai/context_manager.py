"""FoXAI's context manager: a prediction and its explanations in one call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from enum import Enum
from types import TracebackType
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ....methods.explainers.base import evaluating
from . import explainers as image
from .explainers import CVExplainer, Target
from .integrated_gradients import IntegratedGradientsCVExplainer, LayerIntegratedGradientsCVExplainer


class CVClassificationExplainers(Enum):
    """The explainers by FoXAI's names; full gradients and XRAI are not here."""

    CV_OCCLUSION_EXPLAINER = image.OcclusionCVExplainer
    CV_INTEGRATED_GRADIENTS_EXPLAINER = IntegratedGradientsCVExplainer
    CV_NOISE_TUNNEL_EXPLAINER = image.NoiseTunnelCVExplainer
    CV_GRADIENT_SHAP_EXPLAINER = image.GradientSHAPCVExplainer
    CV_LRP_EXPLAINER = image.LRPCVExplainer
    CV_GUIDEDGRADCAM_EXPLAINER = image.GuidedGradCAMCVExplainer
    CV_LAYER_INTEGRATED_GRADIENTS_EXPLAINER = LayerIntegratedGradientsCVExplainer
    CV_LAYER_NOISE_TUNNEL_EXPLAINER = image.LayerNoiseTunnelCVExplainer
    CV_LAYER_GRADIENT_SHAP_EXPLAINER = image.LayerGradientSHAPCVExplainer
    CV_LAYER_LRP_EXPLAINER = image.LayerLRPCVExplainer
    CV_LAYER_GRADCAM_EXPLAINER = image.LayerGradCAMCVExplainer
    CV_INPUT_X_GRADIENT_EXPLAINER = image.InputXGradientCVExplainer
    CV_LAYER_INPUT_X_GRADIENT_EXPLAINER = image.LayerInputXGradientCVExplainer
    CV_DEEPLIFT_EXPLAINER = image.DeepLIFTCVExplainer
    CV_LAYER_DEEPLIFT_EXPLAINER = image.LayerDeepLIFTCVExplainer
    CV_DEEPLIFT_SHAP_EXPLAINER = image.DeepLIFTSHAPCVExplainer
    CV_LAYER_DEEPLIFT_SHAP_EXPLAINER = image.LayerDeepLIFTSHAPCVExplainer
    CV_DECONVOLUTION_EXPLAINER = image.DeconvolutionCVExplainer
    CV_LAYER_CONDUCTANCE_EXPLAINER = image.LayerConductanceCVExplainer
    CV_SALIENCY_EXPLAINER = image.SaliencyCVExplainer
    CV_GUIDED_BACKPOPAGATION_EXPLAINER = image.GuidedBackpropCVExplainer


class ExplainerWithParams:
    """An explainer by name, and the arguments of its `calculate_features`."""

    def __init__(self, explainer_name: CVClassificationExplainers, **kwargs: Any) -> None:
        self.explainer_name = explainer_name
        self.kwargs = kwargs


class FoXaiExplainer:
    """Explains a model's predictions; the model is in evaluation mode inside the `with`.

        saliency = ExplainerWithParams(CVClassificationExplainers.CV_SALIENCY_EXPLAINER)
        with FoXaiExplainer(model, [saliency], target=3) as explained:
            output, attributions = explained(images)
        attributions["CV_SALIENCY_EXPLAINER"]

    An explainer that is given several times is called NAME_0, NAME_1, … by its position in the list.

    Args:
        target: what is explained: a class for all inputs, or one for each.

    Raises:
        ValueError: there is no explainer.
    """

    def __init__(self, model: nn.Module, explainers: Sequence[ExplainerWithParams], target: Target = 0) -> None:
        if not explainers:
            raise ValueError("there is no explainer to run: give one ExplainerWithParams at least")
        self.model = model
        self.target = target
        times = Counter(one.explainer_name for one in explainers)
        self.explainers = {
            one.explainer_name.name + (f"_{i}" if times[one.explainer_name] > 1 else ""): one
            for i, one in enumerate(explainers)
        }
        self._entered = ExitStack()

    def __enter__(self) -> Self:
        self._entered.enter_context(evaluating(self.model))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entered.close()

    def __call__(self, inputs: Float[Tensor, "batch *features"]) -> tuple[Any, dict[str, Tensor]]:
        """What the model says, and every explainer's attributions, on the CPU."""
        with torch.no_grad():
            output = self.model(inputs)
        attributions = {}
        for name, one in self.explainers.items():
            explainer: CVExplainer = one.explainer_name.value()
            attributions[name] = explainer.calculate_features(self.model, inputs, self.target, **one.kwargs).cpu()
        return output, attributions
