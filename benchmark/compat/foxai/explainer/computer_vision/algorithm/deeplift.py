"""DeepLIFT (Shrikumar, Greenside, Kundaje 2017, arxiv.org/abs/1704.02685), of inputs and of a layer."""

from ...base_explainer import CVExplainer


class BaseDeepLIFTCVExplainer(CVExplainer):
    """Differences from a baseline, passed back by the rescale rule.

    A module that is applied several times (the ReLU of torchvision's residual blocks) is several modules in the copy.
    """

    once = True


class DeepLIFTCVExplainer(BaseDeepLIFTCVExplainer):
    """DeepLIFT of inputs."""

    algorithm = "DeepLift"
    complete = True


class LayerDeepLIFTCVExplainer(BaseDeepLIFTCVExplainer):
    """DeepLIFT of a layer."""

    algorithm = "LayerDeepLift"
    of_layer = True
