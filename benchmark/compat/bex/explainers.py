"""bex's contract of an explainer: `explain_batch`, and constructors with bex's arguments in bex's order."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor

from ....methods.explainers.counterfactual.base import (
    Classifier,
    CounterfactualExplainer,
    Explained,
    Generator,
    LatentSpace,
    Question,
    counterfactuals,
)


class ExplainerBase:
    """A counterfactual explainer as bex has it; a new one overrides `explain_batch` and nothing else.

    Its draws come from `rng`, so that a seed decides them.
    """

    name: ClassVar[str] = ""
    num_classes: int = 2
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


class Ported(ExplainerBase):
    """A registered explainer behind bex's constructor.

    Attributes:
        entry: the registered class; its fields are the constructor's arguments, by position too, and attributes.
        explainer: the entry with its parameters.

    Raises:
        TypeError: more arguments than the entry has fields.
        BadParameters: an argument that the entry does not take, or a value out of its range.
    """

    entry: ClassVar[type[CounterfactualExplainer]]

    def __init__(self, *arguments: object, **parameters: object) -> None:
        given = inspect.signature(type(self)).bind_partial(*arguments)
        if twice := given.arguments.keys() & parameters:
            raise TypeError(f"{type(self).__name__} got {', '.join(sorted(twice))} twice: by position and by name")
        self.explainer = counterfactuals.resolve({"name": self.entry.name, **given.arguments, **parameters})
        self.num_explanations = self.explainer.num_explanations
        self._prepared: tuple[Explained, Any] | None = None

    def __getattr__(self, field: str) -> Any:
        if field in type(self).entry.model_fields:
            return getattr(self.explainer, field)
        raise AttributeError(f"{type(self).__name__} has no attribute {field!r}")

    def explain_batch(
        self,
        latents: Float[Tensor, "batch z"],
        logits: Float[Tensor, "batch 2"],
        images: Float[Tensor, "batch channels rows columns"],
        classifier: Classifier,
        generator: Generator,
    ) -> Float[Tensor, "batch n z"]:
        prepared = self._prepared_for(Explained(classifier, generator, self.space))
        batch = latents, logits, images
        return self.explainer.explain(Question(classifier, generator, self.space, *batch, self.rng, prepared))

    def _prepared_for(self, explained: Explained) -> Any:
        """What the explainer prepares, once for the same classifier, generator and space."""
        known = self._prepared
        if known is None or any(
            getattr(known[0], part) is not getattr(explained, part) for part in ("classifier", "generator", "space")
        ):
            known = self._prepared = explained, self.explainer.prepare(explained)
        return known[1]


@cache
def ported(name: str) -> type[Ported]:
    """The class with bex's constructor of a registered explainer.

    Raises:
        UnknownName: no explainer is registered under this name; the message lists the nearest.
    """
    entry = counterfactuals[name]
    arguments = [
        parameter.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
        for parameter in inspect.signature(entry).parameters.values()
    ]
    known = {"name": entry.name, "entry": entry, "__doc__": entry.__doc__, "__module__": __name__}
    return type(entry.__name__, (Ported,), {**known, "__signature__": inspect.Signature(arguments)})


def explainer_class(name: str | type[ExplainerBase]) -> type[ExplainerBase]:
    """The explainer of this name, in which capitals do not matter; a class is its own.

    Raises:
        UnknownName: no explainer has this name; the message lists the nearest.
        ValueError: neither a name nor a class with `explain_batch`.
    """
    if isinstance(name, str):
        return ported(name.lower())
    if isinstance(name, type) and issubclass(name, ExplainerBase):
        return name
    way_out = "give the class, and its arguments by name" if isinstance(name, ExplainerBase) else (
        f"give a name ({', '.join(counterfactuals.names())}), or a subclass of ExplainerBase"
    )  # fmt: skip
    raise ValueError(f"explainer is {name!r}: {way_out}")


Dice, Dive, GrowingSpheres, InformedSearch = ported("dice"), ported("dive"), ported("gs"), ported("is")
LCF, Stylex, Xgem = ported("lcf"), ported("stylex"), ported("xgem")


@dataclass(frozen=True)
class Answers:
    """An explainer with `explain_batch`, as the evaluation asks it.

    Attributes:
        seed: of its draws.
    """

    explainer: ExplainerBase
    seed: int

    @property
    def id(self) -> str:
        """By which errors name it."""
        return type(self.explainer).__name__

    def prepare(self, explained: Explained) -> Callable[..., Any]:
        """Binds the explainer to the latent space; its `explain_batch`."""
        return self.explainer.bind(explained.space, self.seed).explain_batch

    def explain(self, question: Question) -> Any:
        """Whatever `explain_batch` gives: the evaluation converts, or refuses."""
        batch = question.latents, question.logits, question.images
        return question.prepared(*batch, question.classifier, question.generator)
