"""The floor: noise."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from .base import Classifier, ExplainerBase, Generator, positive


class Dummy(ExplainerBase):
    """z' = z + e, e ~ N(0, I): what an explainer that looks at nothing scores."""

    name: ClassVar[str] = "dummy"

    def __init__(self, num_explanations: int = 10) -> None:
        positive(num_explanations=num_explanations)
        self.num_explanations = num_explanations

    def explain_batch(
        self,
        latents: Float[Tensor, "batch z"],
        logits: Float[Tensor, "batch 2"],
        images: Float[Tensor, "batch channels rows columns"],
        classifier: Classifier,
        generator: Generator,
    ) -> Float[Tensor, "batch n z"]:
        return latents[:, None] + self.normal(latents, self.num_explanations)
