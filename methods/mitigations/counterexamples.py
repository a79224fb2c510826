r"""Counterexamples (Teso and Kersting, AIES 2019, section 4; CE in Friedrich et al., Nature MI 2023).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n a_n * -log p_y(x~_n),   a_n = 1 if input n has a mask, else 0

x~_n is x_n with new content in its masked region. `noise` draws a number from U(0, 1) for each feature, as Friedrich et
al. do; `swap` pastes the masked region of another input of the batch with as many masked features. Friedrich et al. add
one copy of each input, drawn once; strength 1 gives the copies the same weight, but draws them anew in every step.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ...datasets.base import Batch
from ..augmentation import Augmentation, donors, uniform
from ..base import mitigations
from ..regions import exchange_regions


@mitigations.register
class Counterexamples(Augmentation):
    """Trains also on copies of the inputs with new content in the mask."""

    name: ClassVar[str] = "counterexamples"
    paper: ClassVar[str] = "Teso & Kersting 2019"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) - \lambda\, "
        r"\underset{n}{\operatorname{mean}} a_n \log p_{y_n}(\tilde{x}_n), \\ "
        r"\tilde{x}_n &= (1 - A_n) \odot x_n + A_n \odot u_n, \quad u_n \sim U(0, 1)^D, \quad a_n = [A_n \neq 0]"
    )

    region: Literal["noise", "swap"] = "noise"

    def filling(self, batch: Batch, generator: torch.Generator) -> Float[Tensor, "batch *features"]:
        if self.region == "noise":
            return uniform(batch, generator)
        return exchange_regions(batch.inputs, batch.masks, partial(donors, generator=generator), batch.areas)
