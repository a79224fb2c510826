"""What is explained: letters, a classifier that was trained on them, and some inputs with their predictions."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import NamedTemporaryFile

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.base import generator
from ...datasets.glyphs import SHORTCUT, SIDE, Glyphs, Letters, draw_glyphs
from ...datasets.sources import data_root
from ...methods.explainers.counterfactual.base import LatentSpace, decoded, other_class
from ...methods.explainers.counterfactual.informed_search import swapped
from ..networks import networks
from ..networks.base import Network
from ..suite.training import Training

NETWORK = "lenet"
TRAINING = Training(epochs=8, batch_size=100)
VALIDATION = 1000


@dataclass(frozen=True)
class Subject:
    """Inputs to be explained, with all that is known about them.

    Attributes:
        letters: those that are explained.
        used: where the classifier uses the shortcut: the same letter, crisp in a font that goes with the class that is
            not predicted, is predicted otherwise. No explainer sees these images.
        accuracy: of the classifier on all validation inputs, drawn as the training inputs are.
    """

    glyphs: Glyphs
    classifier: nn.Module
    letters: Letters
    images: Float[Tensor, "n 1 rows columns"]
    logits: Float[Tensor, "n 2"]
    used: Bool[Tensor, "n"]
    accuracy: float

    @property
    def space(self) -> LatentSpace:
        """What explainers are told."""
        fonts = self.glyphs.renderer.font_latents[self.glyphs.class_fonts]
        return LatentSpace(self.glyphs.train.latents, SHORTCUT, fonts)


def subject(glyphs: Glyphs, classifier: nn.Module, n_samples: int) -> Subject:
    """Some validation inputs, drawn without replacement by the glyphs' seed, and what the classifier says of them."""
    order = torch.from_numpy(generator(glyphs.seed, "explained").permutation(len(glyphs.validation.labels))[:n_samples])
    letters = Letters(*(part[order.to(part.device)] for part in glyphs.validation))
    with undisturbed(classifier), torch.no_grad():
        images = glyphs.images(letters)
        logits = _logits(classifier, images)
        right = _logits(classifier, glyphs.images(glyphs.validation)).argmax(1) == glyphs.validation.labels
        found = Subject(
            glyphs, classifier, letters, images, logits, torch.zeros(len(logits)).bool(), right.double().mean().item()
        )
        return replace(found, used=_used(found))


def make_glyphs(seed: int, correlation: float, breadth: int, n_samples: int, device: str | torch.device) -> Glyphs:
    """The draw whose validation inputs are enough to explain `n_samples` of them, on this device."""
    glyphs = draw_glyphs(seed, correlation, breadth, validation=max(VALIDATION, n_samples))
    parts = (Letters(*(tensor.to(device) for tensor in letters)) for letters in (glyphs.train, glyphs.validation))
    train, validation = parts
    return replace(
        glyphs,
        renderer=glyphs.renderer.to(device),
        class_fonts=glyphs.class_fonts.to(device),
        train=train,
        validation=validation,
    )


def trained(glyphs: Glyphs, training: Training = TRAINING, folder: Path | None = None) -> Network:
    """A classifier of these glyphs; a file in `folder` (the data root's `glyphs/`), named by all it depends on, spares
    training the same one again.
    """  # fmt: skip
    folder = folder or data_root() / "glyphs"
    recipe = f"{glyphs.digest()} {glyphs.seed} {NETWORK} {training.model_dump_json()} torch {torch.__version__}"
    path = folder / f"{hashlib.sha256(recipe.encode()).hexdigest()[:32]}.pt"
    classifier = _network(glyphs.seed).to(glyphs.renderer.mean.device)
    if path.is_file():
        classifier.load_state_dict(torch.load(path, weights_only=True, map_location=glyphs.renderer.mean.device))
        return classifier.eval()
    _fit(classifier, glyphs.images(glyphs.train), glyphs.train.labels, training, glyphs.seed)
    folder.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=folder, delete=False) as file:
        torch.save(classifier.state_dict(), file)
    os.replace(file.name, path)
    return classifier.eval()


def _network(seed: int) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Network(*networks.resolve(NETWORK).layers((1, SIDE, SIDE), 2))


def _fit(
    classifier: Network,
    images: Float[Tensor, "n 1 rows columns"],
    labels: Int[Tensor, "n"],
    training: Training,
    seed: int,
) -> None:
    """Plain empirical risk minimisation with Adam."""
    optimizer = torch.optim.Adam(classifier.parameters(), lr=training.learning_rate)
    order = torch.Generator().manual_seed(seed)
    for _ in range(training.epochs):
        for index in torch.randperm(len(labels), generator=order).to(labels.device).split(training.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(classifier(images[index]), labels[index]).backward()
            optimizer.step()


def _used(found: Subject) -> Bool[Tensor, "n"]:
    target = other_class(found.logits)
    changed = swapped(found.letters.latents, found.space.class_shortcuts[target], SHORTCUT)
    crisp = found.glyphs.renderer.crisp
    chunks = (decoded(some, found.classifier, crisp)[0].argmax(2) for some in changed.split(100))
    return (torch.cat(list(chunks)) == target[:, None]).any(1)


def _logits(classifier: nn.Module, images: Float[Tensor, "n 1 rows columns"]) -> Float[Tensor, "n 2"]:
    return torch.cat([classifier(some) for some in images.split(500)])


@contextmanager
def undisturbed(classifier: nn.Module) -> Iterator[None]:
    """In evaluation mode; afterwards its modules' modes are as they were."""
    modes = [(module, module.training) for module in classifier.modules()]
    try:
        classifier.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training
