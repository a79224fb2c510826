"""The contract of a counterfactual explainer: latents in, latents of other images out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from pydantic import PositiveInt
from torch import Tensor

from ....datasets.registry import Named, Registry

Classifier = Callable[[Float[Tensor, "n channels rows columns"]], Float[Tensor, "n 2"]]
"""From images to the logits of two classes."""
Generator = Callable[[Float[Tensor, "n z"]], Float[Tensor, "n channels rows columns"]]
"""From latents to images; differentiable."""


@dataclass(frozen=True)
class LatentSpace:
    """What an explainer may know beside its batch.

    Attributes:
        latents: those of the classifier's training inputs; standardised.
        shortcut: which of the latents are the shortcut's. For the oracle alone, as is `class_shortcuts`.
        class_shortcuts: the shortcut latents that go with each class in training.
    """

    latents: Float[Tensor, "n z"]
    shortcut: slice
    class_shortcuts: Float[Tensor, "classes values shortcut"]


@dataclass(frozen=True, eq=False)
class Explained:
    """A classifier whose inputs a generator makes from latents.

    Attributes:
        space: latents of the classifier's training inputs.
    """

    classifier: Classifier
    generator: Generator
    space: LatentSpace

    def decoded(
        self, latents: Float[Tensor, "batch n z"]
    ) -> tuple[Float[Tensor, "batch n 2"], Float[Tensor, "batch n channels rows columns"]]:
        """Logits and images of latents."""
        return decoded(latents, self.classifier, self.generator)

    def log_odds(self, latents: Float[Tensor, "batch n z"], of: Int[Tensor, "batch #n"]) -> Float[Tensor, "batch n"]:
        """The classifier's log-odds of class `of` at latents."""
        return log_odds(self.decoded(latents)[0], of)


@dataclass(frozen=True, eq=False)
class Question(Explained):
    """A batch of inputs to explain.

    Attributes:
        latents: of the inputs.
        logits: the classifier's, of the inputs.
        images: the inputs.
        rng: seeded, and the same for all batches of a run; on the CPU, so that draws are the same on every device.
        prepared: what the explainer's `prepare` found.
    """

    latents: Float[Tensor, "batch z"]
    logits: Float[Tensor, "batch 2"]
    images: Float[Tensor, "batch channels rows columns"]
    rng: torch.Generator
    prepared: Any = None

    @property
    def predicted(self) -> Int[Tensor, "batch"]:
        """The predicted class."""
        return self.logits.argmax(1)

    @property
    def other_class(self) -> Int[Tensor, "batch"]:
        """The class that is not predicted."""
        return other_class(self.logits)

    def normal(self, n: int) -> Float[Tensor, "batch n z"]:
        """Standard normal draws, `n` for each input."""
        batch, z = self.latents.shape
        return torch.randn(batch, n, z, generator=self.rng, dtype=torch.float64).to(self.latents)


class CounterfactualExplainer(Named):
    """A way of changing inputs until the prediction changes. One file, one class, `@counterfactuals.register`.

    Attributes:
        num_explanations: counterfactuals of each input.
    """

    num_explanations: PositiveInt = 10

    def prepare(self, explained: Explained) -> Any:
        """Finds what is the same for all batches of a classifier, once; `Question.prepared` has it."""
        return None

    def explain(self, question: Question) -> Float[Tensor, "batch n z"]:
        """Latents of `num_explanations` images for each input that the classifier should see as another class."""
        raise NotImplementedError


counterfactuals: Registry[CounterfactualExplainer] = Registry(
    "counterfactual explainer", "rrrbench.methods.explainers.counterfactual"
)


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
    """Logits and images of latents."""
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
