r"""RRR on Grad-CAM (RRR-G; Schramowski et al., Nature MI 2020; Friedrich et al. 2023).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n sum_ij ( A_nij * L_nij )^2

L is the Grad-CAM of the predicted class's logit, in [0, 1], at the inputs' resolution (`..gradcam`); A is True for a
pixel with any masked channel. Friedrich et al. shrink the mask to the map; here the map is enlarged, so that no mask is
lost. Friedrich et al. hold the maps' weights constant, as captum does (`constant_weights`); here the maps' weights are
differentiated too.

A network whose map is least in the mask can still use the masked pixels, as evidence against a class: on the tests' 6x6
inputs under a 3x3 convolution, accuracy/random is 0.66 at the best strength of RRR-G, and 0.62 without RRR-G (4 seeds;
`rrr` on 2 of these seeds: 0.93).
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from ...datasets.base import Batch, ShortcutDataset
from ..base import Mitigation, Supervision, Terms, cross_entropy, mitigations
from ..gradcam import gradcam, without_maps
from ..network import Net


@mitigations.register
class RRRGradCAM(Mitigation):
    """Penalises Grad-CAM inside the mask."""

    name: ClassVar[str] = "rrr_gradcam"
    paper: ClassVar[str] = "Schramowski et al. 2020"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}} \sum_{ij} (A_{nij}\, L_{nij})^2, \\ "
        r"L_n &= \frac{M_n - \min M_n}{\max M_n - \min M_n}, \quad M_n = \sum_c F_{nc}\, "
        r"\underset{ij}{\operatorname{mean}} \frac{\partial \max_k z_k(x_n)}{\partial F_{ncij}}"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})

    constant_weights: bool = False

    def obstacle(self, dataset: ShortcutDataset, module: nn.Module) -> str:
        return super().obstacle(dataset, module) or without_maps(module)

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        cam, logits = gradcam(net, batch.inputs, lambda logits: logits.amax(-1), self.constant_weights)
        return Terms(
            right_answer=cross_entropy(logits, batch.labels),
            right_reason=strength * (cam * batch.masks.any(1)).square().sum((1, 2)).mean(),
        )
