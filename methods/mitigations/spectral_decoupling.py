r"""Spectral decoupling (Pezeshki et al., "Gradient starvation", NeurIPS 2021).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n mean_k z_nk^2

z are the logits. Under cross-entropy alone, the feature that is learned first takes the gradient away from all other
features (gradient starvation). A penalty on the logits, in place of the weights, makes each feature's growth
independent of the others'. The method is told nothing of the shortcut.

The paper has lambda / 2 times the square of the single logit of two classes. The mean over all logits of K classes is
DomainBed's, where the strength is 0.1 by default. A single logit z is the pair z / 2 and -z / 2 here, whose mean square
is z^2 / 4: a strength here is 2 lambda.

Deviations from released code: on coloured MNIST the authors switch the penalty on late (step 450 of 2,000), and their
factor then multiplies cross-entropy and penalty together; on CelebA they pull the logits to targets of 2.5 and 0.44 and
not to 0. Others penalise the true class's logit alone. Here all logits are penalised, from the first step, towards 0.
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Terms, cross_entropy, mitigations
from ..network import Net


@mitigations.register
class SpectralDecoupling(Mitigation):
    """Penalises the squared logits, so that no feature starves the others."""

    name: ClassVar[str] = "spectral_decoupling"
    paper: ClassVar[str] = "Pezeshki et al. 2021"
    published_strength: ClassVar[float | None] = 0.1
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}}\, \underset{k}{\operatorname{mean}}\, z_k(x_n)^2"
    )

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        logits = net(batch.inputs)
        return Terms(cross_entropy(logits, batch.labels), strength * logits.square().mean())
