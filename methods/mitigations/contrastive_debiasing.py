r"""Contrastive debiasing (Zhang et al., "Correct-N-Contrast", ICML 2022, section 4 and eq. 5; ShortKit-ML, M07).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n a_n c_n
    c_n  = mean_p -log( exp(s_np / T) / (sum_p' exp(s_np' / T) + sum_m exp(s_nm / T)) )

s is the cosine of two inputs' features (the last layer's input), T the temperature. The positives p have n's label and
another shortcut value; the negatives m have another label and n's shortcut value. Every positive is a target in its own
right, where ShortKit-ML counts all positives but the first as negatives. `pairs` positives and `pairs` negatives are
drawn with replacement from the batch, anew in every step, so that the term is a mean over inputs. a_n = 0 for an input
without a positive or without a negative in the batch, else 1.

Positives are pulled as strongly as negatives have a share in the softmax. Where the share vanishes, as at a low
temperature once the labels are apart, c_n asks that all positives are equally near, not that they are near: the
shortcut may come back.

Deviations: the shortcut values are given, where the paper predicts them by a first ERM network; 4 pairs, where the
paper has 16 to 64; the two terms are added, where the paper mixes them.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ...datasets.base import Batch
from ..base import Mitigation, Supervision, Terms, cross_entropy, mitigations
from ..choosing import choose_candidates
from ..network import Net


@mitigations.register
class ContrastiveDebiasing(Mitigation):
    """Draws the features of inputs with the same label together, across shortcut values."""

    name: ClassVar[str] = "contrastive_debiasing"
    paper: ClassVar[str] = "Zhang et al. 2022"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}} a_n c_n, \\ "
        r"c_n &= -\underset{p}{\operatorname{mean}} \log \frac{e^{s_{np} / T}}{\sum_{p'} e^{s_{np'} / T} + \sum_m "
        r"e^{s_{nm} / T}}, \quad s_{nm} = \cos(h_n, h_m)"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"groups"})
    needs_minority: ClassVar[bool] = True

    temperature: Annotated[float, Field(gt=0)] = 0.1
    pairs: Annotated[int, Field(ge=1)] = 4

    def augment(self, batch: Batch, classes: int, generator: torch.Generator) -> Batch:
        same_label = batch.labels[:, None] == batch.labels
        same_shortcut = batch.shortcuts[:, None] == batch.shortcuts
        candidates = {"positives": same_label & ~same_shortcut, "negatives": ~same_label & same_shortcut}
        paired = torch.stack([allowed.any(1) for allowed in candidates.values()]).all(0)
        drawn = {name: batch.inputs[self.draw_pairs(allowed, generator)] for name, allowed in candidates.items()}
        return batch._replace(draws={**batch.draws, **drawn, "paired": paired})

    def draw_pairs(self, candidates: Bool[Tensor, "batch batch"], generator: torch.Generator) -> Tensor:
        """Indices of `pairs` candidates of each row, with replacement; of all inputs for a row without candidates."""
        return choose_candidates(candidates | ~candidates.any(1, keepdim=True), self.pairs, generator)

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        hidden = net.features(batch.inputs)
        anchors = F.normalize(hidden, dim=-1)[:, None]

        def similarities(name: str) -> Float[Tensor, "batch pairs"]:
            paired = net.features(batch.draws[name].flatten(0, 1)).unflatten(0, (-1, self.pairs))
            return (anchors * F.normalize(paired, dim=-1)).sum(-1) / self.temperature

        positives, negatives = similarities("positives"), similarities("negatives")
        contrast = torch.cat((positives, negatives), 1).logsumexp(1) - positives.mean(1)
        return Terms(
            right_answer=cross_entropy(net.head(hidden), batch.labels),
            right_reason=strength * (batch.draws["paired"].to(contrast) * contrast).mean(),
        )
