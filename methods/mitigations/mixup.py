r"""Mixup (Zhang, Cisse, Dauphin, Lopez-Paz: ICLR 2018, section 2).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n a_n * -(l_n log p_y(x~_n) + (1 - l_n) log p_y'(x~_n))
    x~_n = l_n x_n + (1 - l_n) x_m,   l_n ~ Beta(alpha, alpha),   y' the label of the partner m

The partner is another input of the batch, by a random cycle through the batch (a_n = 1). The method is told nothing: it
is the control of `lisa`, which chooses partners by group.

The papers train on mixtures alone, to which strengths far above 1 come near; at strength 1, half of the loss is that of
the inputs as they are. DomainBed's mixup has alpha = 0.2, and one l for all inputs of a pair of domains; here every
input has an l of its own, drawn anew in every step.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ...datasets.base import Batch
from ..augmentation import donors
from ..base import Mitigation, Terms, cross_entropy, mitigations
from ..choosing import moved
from ..network import Net


@mitigations.register
class Mixup(Mitigation):
    """Trains also on mixtures of two inputs and their labels."""

    name: ClassVar[str] = "mixup"
    paper: ClassVar[str] = "Zhang et al. 2018"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) - \lambda\, "
        r"\underset{n}{\operatorname{mean}}\, a_n \left( l_n \log p_{y_n}(\tilde{x}_n) + (1 - l_n) \log "
        r"p_{y_m}(\tilde{x}_n) \right), \\ "
        r"\tilde{x}_n &= l_n x_n + (1 - l_n) x_m, \quad l_n \sim \operatorname{Beta}(\alpha, \alpha)"
    )

    alpha: Annotated[float, Field(gt=0)] = 0.2

    def partners(self, batch: Batch, generator: torch.Generator) -> tuple[Int[Tensor, "batch"], Bool[Tensor, "batch"]]:
        """Each input's partner m, and whether the input has one (a_n); on the inputs' device."""
        partner = moved(donors(len(batch.labels), generator), batch.inputs.device)
        return partner, torch.ones_like(batch.labels, dtype=torch.bool)

    def augment(self, batch: Batch, classes: int, generator: torch.Generator) -> Batch:
        partner, paired = self.partners(batch, generator)
        share = moved(beta(self.alpha, len(batch.labels), generator), batch.inputs.device, batch.inputs.dtype)
        by_input = share.view(-1, *[1] * (batch.inputs.dim() - 1))
        mixed = by_input * batch.inputs + (1 - by_input) * batch.inputs[partner]
        drawn = {"mixed": mixed, "share": share, "partner_labels": batch.labels[partner], "paired": paired}
        return batch._replace(draws={**batch.draws, **drawn})

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        draws = batch.draws
        logits, share = net(draws["mixed"]), draws["share"]
        own, partners = (
            F.cross_entropy(logits, labels, reduction="none") for labels in (batch.labels, draws["partner_labels"])
        )
        errors = draws["paired"].to(logits) * (share * own + (1 - share) * partners)
        return Terms(cross_entropy(net(batch.inputs), batch.labels), strength * errors.mean())


def beta(alpha: float, count: int, generator: torch.Generator) -> Float[Tensor, "count"]:
    """Draws from Beta(alpha, alpha), on the CPU."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, count))
