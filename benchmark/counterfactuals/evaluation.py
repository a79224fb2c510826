"""An explainer at work on a subject: batch by batch, bounded, judged, and with a picture of what it changed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...datasets.glyphs import CHARACTERS, CORE, FONTS, NUISANCE, NUISANCES, SHORTCUT, Renderer
from ...methods.explainers.counterfactual.base import Explained, Question
from ..engine.device import float32_products
from .metrics import Verdicts, bounded, joined, judged
from .subject import Subject, undisturbed

VISIBLE = 0.3
"""Standard deviations from which on a change is named."""


class Shown(NamedTuple):
    """A batch as a logger sees it."""

    images: Float[Tensor, "batch 1 rows columns"]
    counterfactuals: Float[Tensor, "batch n 1 rows columns"]
    predicted: Int[Tensor, "batch"]
    predictions: Int[Tensor, "batch n"]
    hits: Tensor
    changes: list[list[list[str]]]


class Explainer(Protocol):
    """What the evaluation asks of an explainer: see `CounterfactualExplainer`."""

    @property
    def id(self) -> str: ...

    def prepare(self, explained: Explained) -> Any: ...

    def explain(self, question: Question) -> Float[Tensor, "batch n z"]: ...


@float32_products()
def evaluate(
    explainer: Explainer,
    subject: Subject,
    batch_size: int = 12,
    seed: int = 0,
    on_batch: Callable[[Verdicts, Shown], None] | None = None,
) -> Verdicts:
    """The verdicts on everything that the explainer makes of the subject's inputs.

    All draws are seeded, those of torch's, NumPy's and Python's global generators too, which are as before afterwards.

    Raises:
        ValueError: explanations that are no numbers, of another shape than (batch, n, z), or not finite.
    """
    explained, rng = subject.explained, torch.Generator().manual_seed(seed)
    renderer, found = subject.glyphs.renderer, []
    with undisturbed(subject.classifier), seeded(seed):
        prepared = explainer.prepare(explained)
        for index in torch.arange(len(subject.logits), device=subject.logits.device).split(batch_size):
            latents, logits = subject.letters.latents[index], subject.logits[index]
            images = subject.images[index]
            given = latents.clone(), logits.clone(), images.clone()  # an explainer may write into them
            question = Question(explained.classifier, explained.generator, explained.space, *given, rng, prepared)
            explanations = as_explanations(explainer.id, explainer.explain(question), latents)
            with torch.no_grad():
                explanations = bounded(latents, explanations, renderer)
                answers, changed = explained.decoded(explanations)
                predicted, predictions = logits.argmax(1), answers.argmax(2)
                verdicts = judged(latents, explanations, predicted, predictions, subject.used[index], renderer)
            found.append(verdicts)
            if on_batch is not None:
                words = what_changed(latents, explanations, renderer)
                on_batch(verdicts, Shown(images, changed, predicted, predictions, verdicts.hit, words))
    return joined(found)


@torch.no_grad()
def what_changed(
    latents: Float[Tensor, "batch z"], explanations: Float[Tensor, "batch n z"], renderer: Renderer
) -> list[list[list[str]]]:
    """Each explanation's changes in words: `A → C`, `cmr10`, `x +0.4`."""
    sizes = explanations.shape[:2]
    character, font = (part.tolist() for part in renderer.nearest(latents))
    characters, fonts = (part.unflatten(0, sizes).tolist() for part in renderer.nearest(explanations.flatten(0, 1)))
    moves = (explanations - latents[:, None]).tolist()
    return [
        [_words(character[i], characters[i][j], font[i], fonts[i][j], moves[i][j]) for j in range(sizes[1])]
        for i in range(sizes[0])
    ]


def _words(character: int, other_character: int, font: int, other_font: int, moves: list[float]) -> list[str]:
    words = []
    if other_character != character:
        words.append(f"{CHARACTERS[character]} → {CHARACTERS[other_character]}")
    elif max(map(abs, moves[CORE])) > VISIBLE:
        words.append("between letters")
    if other_font != font:
        words.append(FONTS[other_font])
    elif max(map(abs, moves[SHORTCUT])) > VISIBLE:
        words.append("between fonts")
    named = zip(NUISANCES, moves[NUISANCE], strict=True)
    moved = [f"{name} {move:+.1f}" for name, move in named if abs(move) > VISIBLE]
    return [*words, *([", ".join(moved)] if moved else [])]


def as_explanations(name: str, given: object, latents: Float[Tensor, "batch z"]) -> Float[Tensor, "batch n z"]:
    """Explanations of the latents' type and device; NumPy arrays and other real numbers are converted.

    Args:
        name: of the explainer that gave them.

    Raises:
        ValueError: neither a tensor nor an array of real numbers, another shape, or not finite.
    """
    found = torch.from_numpy(given) if isinstance(given, np.ndarray) and given.dtype.kind in "iuf" else given
    if not isinstance(found, Tensor) or found.is_complex() or found.dtype == torch.bool:
        kind = f"{type(given).__name__} of {given.dtype}" if hasattr(given, "dtype") else type(given).__name__
        raise ValueError(f"{name} gave a {kind}, expected a tensor of latents: give e.g. torch.stack(explanations, 1)")
    explanations = found.detach().to(latents)
    batch, z = latents.shape
    if explanations.dim() != 3 or explanations.shape[0] != batch or explanations.shape[2] != z:
        raise ValueError(
            f"{name} gave explanations of shape {tuple(explanations.shape)}, expected ({batch}, n, {z}): "
            f"n latents for each of the {batch} inputs"
        )
    if not explanations.shape[1]:
        raise ValueError(f"{name} gave no explanation of an input: give 1 or more, e.g. num_explanations=10")
    if not explanations.isfinite().all():
        raise ValueError(f"{name} gave explanations that are not finite: lower its lr")
    return explanations


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The global generators of torch, NumPy and Python start from the seed; afterwards they are as before."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
