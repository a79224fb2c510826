"""Deconvolution (Zeiler, Fergus 2014, arxiv.org/abs/1311.2901)."""

from ...base_explainer import CVExplainer


class DeconvolutionCVExplainer(CVExplainer):
    """The gradient, with ReLUs on the way back instead of those on the way forth."""

    algorithm = "Deconvolution"
    of_relus = True
