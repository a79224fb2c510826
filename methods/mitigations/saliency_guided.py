r"""Saliency guided training (Ismail, Corrada Bravo, Feizi: NeurIPS 2021).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n KL( p(x_n) || p(x~_n) )
    x~_n = x_n, with the `share` of its features where |d log p_y(x_n) / dx_nd| is least replaced by U(min x_n, max x_n)

The gradient is a constant: what is asked is that the features which matter least do not matter, not that features
matter less. The method is told nothing of the shortcut, which is salient: it is the control for maps that are cleaner
without any word on the shortcut. The paper's strength is 1, and its share on MNIST a half.

Deviations. The released code sorts by the signed gradient unless a flag is given, so that the strongest evidence
against the label is replaced first; here by the absolute gradient. Both sides of the divergence are trained, as there.
The fill is random numbers, the released code's choice for images; its constant fill is the first pixel of the batch's
first image.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from ...datasets.base import Batch
from ..augmentation import uniform
from ..base import Mitigation, Terms, cross_entropy, mitigations
from ..gradients import input_gradient
from ..network import Net
from ..targets import log_prob_true


@mitigations.register
class SaliencyGuided(Mitigation):
    """Asks that the features of least gradient do not change the prediction.

    Attributes:
        share: of an input's features that are replaced, rounded to whole features.
    """

    name: ClassVar[str] = "saliency_guided"
    paper: ClassVar[str] = "Ismail et al. 2021"
    published_strength: ClassVar[float | None] = 1.0
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}} \sum_k p_k(x_n) \log \frac{p_k(x_n)}{p_k(\tilde{x}_n)}, \\ "
        r"\tilde{x}_{nd} &= u_{nd} \text{ where } \left| \frac{\partial \log p_{y_n}(x_n)}{\partial x_{nd}} \right| "
        r"\text{ is least, else } x_{nd}, \quad u_{nd} \sim U(\min x_n, \max x_n)"
    )

    share: Annotated[float, Field(gt=0, le=1)] = 0.5

    def augment(self, batch: Batch, classes: int, generator: torch.Generator) -> Batch:
        flat, shape = batch.inputs.flatten(1), (-1, *[1] * (batch.inputs.dim() - 1))
        low, high = flat.amin(1).view(shape), flat.amax(1).view(shape)
        filling = low + (high - low) * uniform(batch, generator)
        return batch._replace(draws={**batch.draws, "filling": filling})

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        gradient, _ = input_gradient(net.detached(), batch.inputs, lambda logits: log_prob_true(logits, batch))
        changed = torch.where(least(gradient.detach().abs(), self.share), batch.draws["filling"], batch.inputs)
        logits = net(batch.inputs)
        return Terms(cross_entropy(logits, batch.labels), strength * divergence(logits, net(changed)).mean())


def least(values: Float[Tensor, "batch *features"], share: float) -> Bool[Tensor, "batch *features"]:
    """Where the `share` of an input's smallest values are, with all values that are as small as the largest of them."""
    flat = values.flatten(1)
    count = max(1, round(share * flat.shape[1]))
    return (flat <= flat.sort(1).values[:, count - 1 : count]).view_as(values)


def divergence(
    logits: Float[Tensor, "batch classes"], others: Float[Tensor, "batch classes"]
) -> Float[Tensor, "batch"]:
    """KL(p || r) of the softmax p of `logits` and r of `others`."""
    log_p, log_r = logits.log_softmax(-1), others.log_softmax(-1)
    return (log_p.exp() * (log_p - log_r)).sum(-1)
