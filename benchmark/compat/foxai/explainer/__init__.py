"""FoXAI's explainers: captum's algorithms on a copy of the model, a class for each."""

from .base_explainer import CVExplainer
from .computer_vision.algorithm.conductance import LayerConductanceCVExplainer
from .computer_vision.algorithm.deconv import DeconvolutionCVExplainer
from .computer_vision.algorithm.deeplift import (
    BaseDeepLIFTCVExplainer,
    DeepLIFTCVExplainer,
    LayerDeepLIFTCVExplainer,
)
from .computer_vision.algorithm.deeplift_shap import (
    BaseDeepLIFTSHAPCVExplainer,
    DeepLIFTSHAPCVExplainer,
    LayerDeepLIFTSHAPCVExplainer,
)
from .computer_vision.algorithm.gradcam import (
    BaseGradCAMCVExplainer,
    GuidedGradCAMCVExplainer,
    LayerGradCAMCVExplainer,
)
from .computer_vision.algorithm.gradient_shap import (
    BaseGradientSHAPCVExplainer,
    GradientSHAPCVExplainer,
    LayerGradientSHAPCVExplainer,
)
from .computer_vision.algorithm.guided_backprop import GuidedBackpropCVExplainer
from .computer_vision.algorithm.input_x_gradient import (
    BaseInputXGradientCVExplainer,
    InputXGradientCVExplainer,
    LayerInputXGradientCVExplainer,
)
from .computer_vision.algorithm.integrated_gradients import (
    BaseIntegratedGradientsCVExplainer,
    IntegratedGradientsCVExplainer,
    LayerIntegratedGradientsCVExplainer,
)
from .computer_vision.algorithm.lrp import BaseLRPCVExplainer, LayerLRPCVExplainer, LRPCVExplainer
from .computer_vision.algorithm.noise_tunnel import (
    BaseNoiseTunnelCVExplainer,
    LayerNoiseTunnelCVExplainer,
    NoiseTunnelCVExplainer,
)
from .computer_vision.algorithm.occlusion import OcclusionCVExplainer
from .computer_vision.algorithm.saliency import SaliencyCVExplainer

ABSENT = {
    "FullGradientCVExplainer": "captum has no full gradients; take SaliencyCVExplainer or LayerGradCAMCVExplainer",
    "XRAICVExplainer": "XRAI sums integrated gradients over segments; take IntegratedGradientsCVExplainer",
    "LayerGradCAMObjectDetectionExplainer": "object detection is not here; take LayerGradCAMCVExplainer for classes",
}
"""Explainers of FoXAI that are not here, and what to take."""

__all__ = [
    "BaseDeepLIFTCVExplainer",
    "BaseDeepLIFTSHAPCVExplainer",
    "BaseGradCAMCVExplainer",
    "BaseGradientSHAPCVExplainer",
    "BaseInputXGradientCVExplainer",
    "BaseIntegratedGradientsCVExplainer",
    "BaseLRPCVExplainer",
    "BaseNoiseTunnelCVExplainer",
    "CVExplainer",
    "DeconvolutionCVExplainer",
    "DeepLIFTCVExplainer",
    "DeepLIFTSHAPCVExplainer",
    "GradientSHAPCVExplainer",
    "GuidedBackpropCVExplainer",
    "GuidedGradCAMCVExplainer",
    "InputXGradientCVExplainer",
    "IntegratedGradientsCVExplainer",
    "LRPCVExplainer",
    "LayerConductanceCVExplainer",
    "LayerDeepLIFTCVExplainer",
    "LayerDeepLIFTSHAPCVExplainer",
    "LayerGradCAMCVExplainer",
    "LayerGradientSHAPCVExplainer",
    "LayerInputXGradientCVExplainer",
    "LayerIntegratedGradientsCVExplainer",
    "LayerLRPCVExplainer",
    "LayerNoiseTunnelCVExplainer",
    "NoiseTunnelCVExplainer",
    "OcclusionCVExplainer",
    "SaliencyCVExplainer",
]


def __getattr__(name: str) -> object:
    """Says what to take in place of an explainer that is not here.

    Raises:
        ImportError: an explainer of FoXAI that is not here.
        AttributeError: any other name.
    """
    if name in ABSENT:
        raise ImportError(f"{name} is not here: {ABSENT[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
