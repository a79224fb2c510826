"""DeepLIFT SHAP (Lundberg, Lee 2017, arxiv.org/abs/1705.07874): DeepLIFT's mean over baselines."""

from captum.attr import DeepLiftShap

from .deeplift import BaseDeepLIFTCVExplainer


class BaseDeepLIFTSHAPCVExplainer(BaseDeepLIFTCVExplainer):
    """DeepLIFT's mean over a baseline's rows."""

    distribution = True
    of_inputs = DeepLiftShap


class DeepLIFTSHAPCVExplainer(BaseDeepLIFTSHAPCVExplainer):
    """DeepLIFT SHAP of inputs."""

    algorithm = "DeepLiftShap"
    complete = True


class LayerDeepLIFTSHAPCVExplainer(BaseDeepLIFTSHAPCVExplainer):
    """DeepLIFT SHAP of a layer."""

    algorithm = "LayerDeepLiftShap"
    of_layer = True
