"""StylEx's AttFind (Lang et al. 2021, arxiv.org/abs/2104.13369, section 3.3), on latents in place of style coordinates.

Over the training inputs that the classifier sees as a class: for each latent d and direction, the mean gain in the
other class's probability by

    z_d <- z_d + shift_size * (extreme_d - z_d)       extreme: the least or greatest z_d of training

The latent and direction that gain most come first; inputs that it alone gives more than `t` are explained, and the
search goes on with the others, over the latents that are left.

    independent   explanation i makes the i-th of these shifts
    subset        explanation i makes the first i + 1 of them together, but no more than flip the prediction
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from .base import CounterfactualExplainer, Explained, Question, counterfactuals, other_class

Strategy = Literal["independent", "subset"]
Selected = tuple[Int[Tensor, "z"], Float[Tensor, "z"]]
"""Latents in the order of their selection, and the extreme that each goes towards."""
INPUTS = 200
"""Of each predicted class, from which the shifts are selected."""


@counterfactuals.register
class Stylex(CounterfactualExplainer):
    """Shifts of single latents that change the class's probability most.

    Attributes:
        t: gain in probability that explains an input.
        shift_size: share of the way to the extreme.
    """

    name: ClassVar[str] = "stylex"
    t: NonNegativeFloat = 0.3
    shift_size: PositiveFloat = 0.8
    strategy: Strategy = "independent"

    @torch.no_grad()
    def prepare(self, explained: Explained) -> list[Selected]:
        """The shifts towards each class, selected on the training inputs that are seen as the other."""
        latents = explained.space.latents
        logits = torch.cat([explained.classifier(explained.generator(some)) for some in latents.split(500)])
        target, extremes = other_class(logits), torch.stack([latents.amin(0), latents.amax(0)], 1)
        return [self._ranking(latents[target == k][:INPUTS], k, extremes, explained) for k in (0, 1)]

    @torch.no_grad()
    def explain(self, question: Question) -> Float[Tensor, "batch n z"]:
        latents, target = question.latents, question.other_class
        explanations = latents[:, None].repeat(1, self.num_explanations, 1)
        for k, (order, extremes) in enumerate(question.prepared):
            mine = target == k
            explanations[mine] = self._shifted(latents[mine], order, extremes)
        if self.strategy == "subset":
            flips = question.log_odds(explanations, target[:, None]) > 0
            last = torch.where(flips.any(1), flips.int().argmax(1), self.num_explanations)
            turn = torch.arange(self.num_explanations, device=latents.device).minimum(last[:, None])
            explanations = explanations.gather(1, turn[:, :, None].expand_as(explanations))
        return explanations

    def _shifted(
        self, latents: Float[Tensor, "some z"], order: Int[Tensor, "z"], extremes: Float[Tensor, "z"]
    ) -> Float[Tensor, "some n z"]:
        """Explanation i has the i-th shift, or with `subset` all up to it; beyond the last, the first again."""
        z = latents.shape[1]
        steps = torch.arange(self.num_explanations, device=latents.device)[:, None]
        place = order.argsort()  # a latent's place in the order
        moved = place == steps % z if self.strategy == "independent" else place <= steps
        target = torch.empty_like(extremes).scatter(0, order, extremes)
        return latents[:, None] + self.shift_size * moved.to(latents) * (target - latents)[:, None]

    def _ranking(
        self,
        latents: Float[Tensor, "some z"],
        target: int,
        extremes: Float[Tensor, "z 2"],
        explained: Explained,
    ) -> Selected:
        z = extremes.shape[0]
        gains = self._gains(latents, target, extremes, explained)
        unexplained = torch.ones(len(latents), dtype=torch.bool, device=latents.device)
        left = torch.ones(z, dtype=torch.bool, device=latents.device)
        chosen: list[int] = []
        for _ in range(z):
            if not unexplained.any():
                unexplained[:] = True  # all are explained: the rest are ranked over all inputs
            mean = gains[unexplained].mean(0) if len(latents) else gains.new_zeros(z, 2)
            best = int(mean.masked_fill(~left[:, None], -torch.inf).argmax())
            chosen.append(best)
            left[best // 2] = False
            unexplained &= gains[:, best // 2, best % 2] <= self.t
        picked = torch.tensor(chosen, device=latents.device)
        return picked // 2, extremes.flatten()[picked]

    def _gains(
        self,
        latents: Float[Tensor, "some z"],
        target: int,
        extremes: Float[Tensor, "z 2"],
        explained: Explained,
    ) -> Float[Tensor, "some z 2"]:
        """What each shift alone adds to the target's probability."""
        z = latents.shape[1]
        shifts = torch.diag_embed(self.shift_size * (extremes.T - latents[:, None]))  # (some, 2, z, z)
        points = (latents[:, None, None] + shifts).flatten(1, 2)
        found = (
            torch.cat([explained.decoded(some)[0] for some in points.split(20)])
            if len(points)
            else (points.new_zeros(0, 2 * z, 2))
        )
        before = torch.cat([explained.classifier(explained.generator(some)) for some in latents.split(500)])
        gain = found.softmax(2)[..., target] - before.softmax(1)[:, None, target]
        return gain.unflatten(1, (2, z)).transpose(1, 2)
