"""Gradient SHAP (Erion et al. 2021, arxiv.org/abs/1906.10670), of inputs and of a layer."""

from ...base_explainer import CVExplainer


class BaseGradientSHAPCVExplainer(CVExplainer):
    """Expected gradients between drawn baselines and noisy inputs."""

    distribution = True


class GradientSHAPCVExplainer(BaseGradientSHAPCVExplainer):
    """Gradient SHAP of inputs."""

    algorithm = "GradientShap"
    of_outputs = True


class LayerGradientSHAPCVExplainer(BaseGradientSHAPCVExplainer):
    """Gradient SHAP of a layer."""

    algorithm = "LayerGradientShap"
    of_layer = True
