"""xGEM: exemplars on the generator's manifold (Joshi et al. 2018, arxiv.org/abs/1806.08867, equation 2).

    -log p_other(G(z')) + reconstruction |x - G(z')|_1

DiVE's objective without its diversity, its lasso, and its confinement.
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from .base import CounterfactualExplainer, Question, counterfactuals
from .dive import Dive


@counterfactuals.register
class Xgem(CounterfactualExplainer):
    """The nearest image, in pixels, with another prediction; explanations differ by their start alone."""

    name: ClassVar[str] = "xgem"
    lr: PositiveFloat = 0.1
    num_iters: PositiveInt = 50
    reconstruction_weight: NonNegativeFloat = 0.001

    def explain(self, question: Question) -> Float[Tensor, "batch n z"]:
        return Dive(**self.model_dump(), diversity_weight=0, lasso_weight=0, method="none").explain(question)
