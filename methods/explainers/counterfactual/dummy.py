"""The floor: noise."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from .base import CounterfactualExplainer, Question, counterfactuals


@counterfactuals.register
class Dummy(CounterfactualExplainer):
    """z' = z + e, e ~ N(0, I): what an explainer that looks at nothing scores."""

    name: ClassVar[str] = "dummy"

    def explain(self, question: Question) -> Float[Tensor, "batch n z"]:
        return question.latents[:, None] + question.normal(self.num_explanations)
