"""FoXAI's image explainers under their own names and arguments, without their known faults: `docs/foxai.md`.

    from rrrbench.benchmark.compat.foxai import IntegratedGradientsCVExplainer  # was: from foxai.explainer import ...

Written anew over captum; no code of FoXAI (`softwaremill/FoXAI`, 0.6.0) is in here.
"""

from .context_manager import CVClassificationExplainers, ExplainerWithParams, FoXaiExplainer
from .explainers import (
    CVExplainer,
    DeconvolutionCVExplainer,
    DeepLIFTCVExplainer,
    DeepLIFTSHAPCVExplainer,
    GradientSHAPCVExplainer,
    GuidedBackpropCVExplainer,
    GuidedGradCAMCVExplainer,
    InputXGradientCVExplainer,
    LayerConductanceCVExplainer,
    LayerDeepLIFTCVExplainer,
    LayerDeepLIFTSHAPCVExplainer,
    LayerGradCAMCVExplainer,
    LayerGradientSHAPCVExplainer,
    LayerInputXGradientCVExplainer,
    LayerLRPCVExplainer,
    LayerNoiseTunnelCVExplainer,
    LRPCVExplainer,
    NoiseTunnelCVExplainer,
    OcclusionCVExplainer,
    SaliencyCVExplainer,
)
from .insertion_deletion import deletion, insertion
from .integrated_gradients import IntegratedGradientsCVExplainer, LayerIntegratedGradientsCVExplainer
from .layers import get_last_conv_model_layer

__all__ = [
    "CVClassificationExplainers",
    "CVExplainer",
    "DeconvolutionCVExplainer",
    "DeepLIFTCVExplainer",
    "DeepLIFTSHAPCVExplainer",
    "ExplainerWithParams",
    "FoXaiExplainer",
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
    "deletion",
    "get_last_conv_model_layer",
    "insertion",
]
