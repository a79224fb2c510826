"""Input times gradient (Shrikumar et al. 2016, arxiv.org/abs/1605.01713), of inputs and of a layer."""

from ...base_explainer import CVExplainer


class BaseInputXGradientCVExplainer(CVExplainer):
    """Values times gradients."""


class InputXGradientCVExplainer(BaseInputXGradientCVExplainer):
    """Inputs times gradients."""

    algorithm = "InputXGradient"
    of_outputs = True


class LayerInputXGradientCVExplainer(BaseInputXGradientCVExplainer):
    """Activations times gradients."""

    algorithm = "LayerGradientXActivation"
    of_layer = True
    of_layers = True
