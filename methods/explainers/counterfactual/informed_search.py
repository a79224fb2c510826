"""The ceiling: it is told where the shortcut is (IS of Velazquez et al. 2023, openreview.net/forum?id=RYeRNwRjNE).

    z' = z with the shortcut's latents of a value that goes with the class that is not predicted

All such values are tried, and the best come first: those with the highest log-odds of that class. bex draws them
at random; a search shows whether there is a hit at all.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from .base import CounterfactualExplainer, Question, counterfactuals


@counterfactuals.register
class InformedSearch(CounterfactualExplainer):
    """The shortcut values of the other class that flip the prediction, in turn; the best one where none does."""

    name: ClassVar[str] = "is"

    @torch.no_grad()
    def explain(self, question: Question) -> Float[Tensor, "batch n z"]:
        latents, target, space = question.latents, question.other_class, question.space
        candidates = swapped(latents, space.class_shortcuts[target], space.shortcut)
        scores = question.log_odds(candidates, target[:, None])
        ranking = scores.argsort(1, descending=True)
        useful = (scores > 0).sum(1, keepdim=True).clamp(min=1)
        turn = torch.arange(self.num_explanations, device=latents.device) % useful
        chosen = ranking.gather(1, turn)[:, :, None].expand(-1, -1, latents.shape[1])
        return candidates.gather(1, chosen)


def swapped(
    latents: Float[Tensor, "batch z"], values: Float[Tensor, "batch n shortcut"], shortcut: slice
) -> Float[Tensor, "batch n z"]:
    """The latents with these values in place of their shortcut's."""
    changed = latents[:, None].repeat(1, values.shape[1], 1)
    changed[..., shortcut] = values.to(latents)
    return changed
