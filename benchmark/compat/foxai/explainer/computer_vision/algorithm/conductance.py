"""Conductance (Dhamdhere, Sundararajan, Yan 2019, arxiv.org/abs/1805.12233)."""

from ...base_explainer import CVExplainer


class LayerConductanceCVExplainer(CVExplainer):
    """The integrated gradients that flow through a layer's units."""

    algorithm = "LayerConductance"
    of_layer = True
