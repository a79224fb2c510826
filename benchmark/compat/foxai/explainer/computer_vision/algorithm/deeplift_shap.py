"""DeepLIFT SHAP (Lundberg, Lee 2017, arxiv.org/abs/1705.07874): DeepLIFT's mean over baselines."""

from captum.attr import DeepLiftShap

from .deeplift import BaseDeepLIFTCVExplainer, OfLayer


class BaseDeepLIFTSHAPCVExplainer(BaseDeepLIFTCVExplainer):
    """DeepLIFT's mean over a baseline's rows."""

    distribution = True


class DeepLIFTSHAPCVExplainer(BaseDeepLIFTSHAPCVExplainer):
    """DeepLIFT SHAP of inputs."""

    algorithm = "DeepLiftShap"


class LayerDeepLIFTSHAPCVExplainer(OfLayer, BaseDeepLIFTSHAPCVExplainer):
    """DeepLIFT SHAP of a layer."""

    algorithm = "LayerDeepLiftShap"
    of_inputs = DeepLiftShap
