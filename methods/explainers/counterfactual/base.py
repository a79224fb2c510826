"""The contract of a counterfactual explainer: latents in, latents of other images out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

Classifier = Callable[[Float[Tensor, "n channels rows columns"]], Float[Tensor, "n 2"]]
"""From images to the logits of two classes."""
Generator = Callable[[Float[Tensor, "n z"]], Float[Tensor, "n channels rows columns"]]
"""From latents to images; differentiable."""


@dataclass(frozen=True)
class LatentSpace:
    """What an explainer may know beside its batch.

    Attributes:
        latents: those of the classifier's training inputs; standardised.
        shortcut: which of the latents are the shortcut's. For the oracle alone, as is the next.
        class_shortcuts: the shortcut latents that go with each class in training.
    """

    latents: Float[Tensor, "n z"]
    shortcut: slice
    class_shortcuts: Float[Tensor, "classes values shortcut"]


class ExplainerBase:
    """What every counterfactual explainer is; a new one overrides `explain_batch` and nothing else.

    Its draws come from `rng`, so that a seed decides them.
    """

    name: ClassVar[str] = ""
    num_explanations: int = 10
    _space: LatentSpace | None = None
    _rng: torch.Generator | None = None

    def explain_batch(
        self,
        latents: Float[Tensor, "batch z"],
        logits: Float[Tensor, "batch 2"],
        images: Float[Tensor, "batch channels rows columns"],
        classifier: Classifier,
        generator: Generator,
    ) -> Float[Tensor, "batch n z"]:
        """Latents of `n` images for each input that the classifier should see as another class."""
        raise NotImplementedError(f"{type(self).__name__} is to override explain_batch")

    def bind(self, space: LatentSpace, seed: int) -> Self:
        """Tells it what it may know, and seeds its draws."""
        self._space, self._rng = space, torch.Generator().manual_seed(seed)
        return self

    @property
    def space(self) -> LatentSpace:
        """As bound.

        Raises:
            RuntimeError: nothing is bound.
        """
        if self._space is None:
            raise RuntimeError(
                f"{type(self).__name__} needs the latent space: call bind(space, seed), or use Benchmark"
            )
        return self._space

    @property
    def rng(self) -> torch.Generator:
        """On the CPU, so that a seed's draws are the same on every device."""
        if self._rng is None:
            self._rng = torch.Generator().manual_seed(0)
        return self._rng

    def normal(self, like: Float[Tensor, "*shape"], n: int) -> Float[Tensor, "batch n z"]:
        """Standard normal draws, `n` for each row of `like`."""
        batch, z = like.shape
        return torch.randn(batch, n, z, generator=self.rng, dtype=torch.float64).to(like)


def positive(**values: float) -> None:
    """Raises ValueError for an argument that is not above 0; the message names it."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} is {value}, expected a number above 0")


def not_negative(**values: float) -> None:
    """Raises ValueError for an argument below 0; the message names it."""
    for name, value in values.items():
        if not value >= 0:
            raise ValueError(f"{name} is {value}, expected 0 or more")


def other_class(logits: Float[Tensor, "batch 2"]) -> Int[Tensor, "batch"]:
    """The class that is not predicted."""
    return 1 - logits.argmax(1)


def log_odds(logits: Float[Tensor, "*batch 2"], of: Int[Tensor, "*#batch"]) -> Float[Tensor, "*batch"]:
    """log p_k / (1 - p_k) = z_k - z_{1-k}: above 0 where class `of` is predicted."""
    difference = logits[..., 1] - logits[..., 0]
    return torch.where(of == 1, difference, -difference)


def decoded(
    latents: Float[Tensor, "batch n z"], classifier: Classifier, generator: Generator
) -> tuple[Float[Tensor, "batch n 2"], Float[Tensor, "batch n channels rows columns"]]:
    """Logits and images of explanations."""
    images = generator(latents.flatten(0, 1))
    sizes = latents.shape[:2]
    return classifier(images).unflatten(0, sizes), images.unflatten(0, sizes)


def minimised(
    loss: Callable[[Float[Tensor, "batch n z"]], Float[Tensor, "batch"]],
    start: Float[Tensor, "batch n z"],
    lr: float,
    steps: int,
) -> Float[Tensor, "batch n z"]:
    """Adam's last iterate. The loss is one number an input, and an input's steps depend on its own loss alone."""
    point = start.detach().clone().requires_grad_()
    adam = torch.optim.Adam([point], lr=lr)
    with torch.enable_grad():
        for _ in range(steps):
            (point.grad,) = torch.autograd.grad(loss(point).sum(), point)
            adam.step()
    return point.detach()
