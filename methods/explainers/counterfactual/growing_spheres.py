"""Growing spheres (Laugel et al. 2018, arxiv.org/abs/1712.08443, algorithms 1 and 2), in the latent space.

1. Candidates uniform in a ball; while one of them is an enemy (has another prediction), divide the radius.
2. Layers of that thickness outwards, until there are as many enemies as explanations; the nearest are taken.
3. Of each, latents go back to the input's in order of |change|, as long as the prediction stays another.

The search ends: after `LAYERS` layers what was found is taken in turn, and an input without any enemy stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from .base import CounterfactualExplainer, Question, counterfactuals

DIVISIONS = 20
LAYERS = 40
Enemy = Callable[[Float[Tensor, "some n z"], Int[Tensor, "some"]], Bool[Tensor, "some n"]]
"""Whether points have another prediction than the one given for their input."""
Draws = tuple[Float[Tensor, "batch candidates z"], Float[Tensor, "batch candidates"]]
"""Standard normal, and uniform in [0, 1]: a candidate's direction, and how far between two spheres it is."""


@counterfactuals.register
class GrowingSpheres(CounterfactualExplainer):
    """The nearest enemies, with as few latents changed as their prediction allows.

    Attributes:
        n_candidates: draws in a ball or layer.
        first_radius: of the first ball, in standard deviations.
        decrease_radius: what the radius is divided by.
    """

    name: ClassVar[str] = "gs"
    n_candidates: PositiveInt = 50
    first_radius: PositiveFloat = 10
    decrease_radius: Annotated[float, Field(gt=1)] = 2

    @torch.no_grad()
    def explain(self, question: Question) -> Float[Tensor, "batch n z"]:
        def enemy(points: Float[Tensor, "some n z"], predicted: Int[Tensor, "some"]) -> Bool[Tensor, "some n"]:
            return question.log_odds(points, predicted[:, None]) < 0

        latents, predicted = question.latents, question.predicted
        draws = [self._draws(question) for _ in range(DIVISIONS + LAYERS)]  # all: none depends on how a search goes
        thickness = self._peaceful(latents, predicted, enemy, draws[:DIVISIONS])
        enemies = self._nearest(latents, predicted, thickness, enemy, draws[DIVISIONS:])
        return _sparse(latents, enemies, predicted, enemy)

    def _draws(self, question: Question) -> Draws:
        latents = question.latents
        share = torch.rand(len(latents), self.n_candidates, generator=question.rng, dtype=torch.float64)
        return question.normal(self.n_candidates), share.to(latents)

    def _peaceful(
        self,
        latents: Float[Tensor, "batch z"],
        predicted: Int[Tensor, "batch"],
        enemy: Enemy,
        draws: Sequence[Draws],
    ) -> Float[Tensor, "batch"]:
        """The radius of a ball in which no candidate was an enemy."""
        radius = torch.full_like(latents[:, 0], self.first_radius)
        shrinking = torch.arange(len(latents), device=latents.device)
        for drawn in draws:
            points = layer(latents, torch.zeros_like(radius), radius, drawn)[shrinking]
            shrinking = shrinking[enemy(points, predicted[shrinking]).any(1)]
            if not len(shrinking):
                break
            radius[shrinking] /= self.decrease_radius
        return radius

    def _nearest(
        self,
        latents: Float[Tensor, "batch z"],
        predicted: Int[Tensor, "batch"],
        thickness: Float[Tensor, "batch"],
        enemy: Enemy,
        draws: Sequence[Draws],
    ) -> Float[Tensor, "batch n z"]:
        """The nearest enemies; those found in turn where they are fewer, the input where there is none."""
        n = self.num_explanations
        found = latents[:, None].repeat(1, n, 1)
        distances = torch.full_like(found[..., 0], torch.inf)
        for i, drawn in enumerate(draws):
            lacking = distances[:, -1].isinf().nonzero().squeeze(1)
            if not len(lacking):
                break
            points = layer(latents, i * thickness, (i + 1) * thickness, drawn)[lacking]
            far = (points - latents[lacking, None]).norm(dim=2)
            far = far.masked_fill(~enemy(points, predicted[lacking]), torch.inf)
            far, order = torch.cat([distances[lacking], far], 1).sort(dim=1, stable=True)
            points = torch.cat([found[lacking], points], 1)
            distances[lacking] = far[:, :n]
            found[lacking] = points.gather(1, order[:, :n, None].expand(-1, -1, points.shape[2]))
        count = distances.isfinite().sum(1)[:, None]
        turn = torch.arange(n, device=latents.device) % count.clamp(min=1)
        return torch.where(count[:, :, None] > 0, found.gather(1, turn[:, :, None].expand_as(found)), latents[:, None])


def layer(
    centre: Float[Tensor, "batch z"], inner: Float[Tensor, "batch"], outer: Float[Tensor, "batch"], draws: Draws
) -> Float[Tensor, "batch candidates z"]:
    """Uniform between two spheres: a direction, and a radius whose z-th power is uniform."""
    direction, share = draws
    z = centre.shape[1]
    ratio = (inner / outer)[:, None] ** z
    length = outer[:, None] * (ratio + share * (1 - ratio)) ** (1 / z)
    return centre[:, None] + direction / direction.norm(dim=2, keepdim=True) * length[..., None]


def _sparse(
    latents: Float[Tensor, "batch z"],
    enemies: Float[Tensor, "batch n z"],
    predicted: Int[Tensor, "batch"],
    enemy: Enemy,
) -> Float[Tensor, "batch n z"]:
    """Enemies with their smallest changes undone, up to the first that is needed."""
    origin = latents[:, None].expand_as(enemies)
    going_on = torch.ones_like(enemies[..., 0], dtype=torch.bool)
    for coordinate in (enemies - origin).abs().argsort(2).split(1, dim=2):
        back = enemies.scatter(2, coordinate, origin.gather(2, coordinate))
        going_on &= enemy(back, predicted)
        enemies = torch.where(going_on[..., None], back, enemies)
    return enemies
