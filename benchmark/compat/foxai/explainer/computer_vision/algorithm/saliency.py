"""Saliency (Simonyan, Vedaldi, Zisserman 2014, arxiv.org/abs/1312.6034)."""

from ...base_explainer import CVExplainer


class SaliencyCVExplainer(CVExplainer):
    """The gradient's absolute value; with its sign if `abs=False`."""

    algorithm = "Saliency"
    of_outputs = True
