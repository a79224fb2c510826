"""Guided backpropagation (Springenberg et al. 2015, arxiv.org/abs/1412.6806)."""

from ...base_explainer import CVExplainer


class GuidedBackpropCVExplainer(CVExplainer):
    """The gradient, where ReLUs pass what is positive alone."""

    algorithm = "GuidedBackprop"
    of_relus = True
