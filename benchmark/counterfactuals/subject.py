"""What is explained: letters, a classifier that was trained on them, and some inputs with their predictions."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
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
from ...datasets.glyphs import SHORTCUT, SIDE, Glyphs, Letters
from ...methods.explainers.counterfactual.base import Explained, LatentSpace, decoded, other_class
from ...methods.explainers.counterfactual.informed_search import swapped
from ...methods.network import PixelRange
from ..engine.device import training_precision
from ..networks.base import Network, NetworkRecipe
from ..suite.training import Training


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
    def explained(self) -> Explained:
        """The classifier, the generator, and what explainers are told of the latents."""
        fonts = self.glyphs.renderer.font_latents[self.glyphs.class_fonts]
        space = LatentSpace(self.glyphs.train.latents, SHORTCUT, fonts)
        return Explained(self.classifier, self.glyphs.renderer, space)


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


def trained(glyphs: Glyphs, network: NetworkRecipe, training: Training, folder: Path | None = None) -> Network:
    """A classifier of these glyphs.

    Args:
        folder: where it is kept, in a file named by all that it depends on, to be read instead of trained again; None
            keeps none.
    """
    recipe = f"{glyphs.digest()} {glyphs.seed} {network.id} {training.model_dump_json()} torch {torch.__version__}"
    path = None if folder is None else folder / f"{hashlib.sha256(recipe.encode()).hexdigest()[:32]}.pt"
    device = glyphs.renderer.mean.device
    classifier = _built(network, glyphs.seed).to(device)
    if path is not None and path.is_file():
        try:
            classifier.load_state_dict(torch.load(path, weights_only=True, map_location=device))
        except Exception as error:  # of a damaged file, and of another network's
            raise ValueError(
                f"{path} does not read as the classifier that was kept there ({type(error).__name__}): delete it, and "
                "it is trained again"
            ) from error
        return classifier.eval()
    _fit(classifier, glyphs.images(glyphs.train), glyphs.train.labels, training, glyphs.seed)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, delete=False) as file:
            torch.save(classifier.state_dict(), file)
        os.replace(file.name, path)
    return classifier.eval()


def require_fitting(network: NetworkRecipe, dataset: str) -> None:
    """Raises ValueError unless the network gives two logits for a letter."""
    shape = (1, SIDE, SIDE)
    try:
        with torch.no_grad():
            found = _built(network, 0)(torch.zeros(2, *shape))
    except Exception as error:  # of a recipe that anybody may have written
        raise ValueError(f"network {network.id} does not fit {dataset}, whose inputs are {shape}: {error}") from error
    if getattr(found, "shape", None) != (2, 2):
        raise ValueError(
            f"network {network.id} gives no logits of shape (2, 2) for two inputs {shape} of {dataset}, which has two "
            "classes: mend its `head`"
        )


def _built(network: NetworkRecipe, seed: int) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        layers, head = network.layers((1, SIDE, SIDE), 2)
    low, high = (0.0, 1.0) if isinstance(network.pixel_range, str) else network.pixel_range  # native to letters: unit
    return Network(OrderedDict(pixel_range=PixelRange(low, high), **layers), head)


def _fit(
    classifier: Network,
    images: Float[Tensor, "n 1 rows columns"],
    labels: Int[Tensor, "n"],
    training: Training,
    seed: int,
) -> None:
    """Plain empirical risk minimisation."""
    optimizer = _optimizer(classifier, training)
    rng, n = torch.Generator().manual_seed(seed), len(labels)
    with training_precision(training.precision, images.device):
        for _ in range(training.epochs):
            order = torch.randperm(n, generator=rng) if training.shuffle else torch.arange(n)
            for index in order.to(labels.device).split(training.batch_size):
                optimizer.zero_grad()
                F.cross_entropy(classifier(images[index]).float(), labels[index]).backward()
                optimizer.step()


def _optimizer(classifier: Network, training: Training) -> torch.optim.Optimizer:
    parameters, given = classifier.parameters(), {"lr": training.learning_rate, "weight_decay": training.weight_decay}
    match training.optimizer:
        case "adam":
            return torch.optim.Adam(parameters, **given)
        case "adamw":
            return torch.optim.AdamW(parameters, **given)
        case "sgd":
            return torch.optim.SGD(parameters, momentum=training.momentum, **given)


def _used(found: Subject) -> Bool[Tensor, "n"]:
    target = other_class(found.logits)
    changed = swapped(found.letters.latents, found.explained.space.class_shortcuts[target], SHORTCUT)
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
