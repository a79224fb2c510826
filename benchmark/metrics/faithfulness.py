"""Whether measures of faithfulness are right: each measure ranks three maps, of which the true map is known.

Insertion, deletion, ROAD and infidelity say of a saliency map how well it tells which pixels a network uses. Here the
answer is known: an input is rendered with every shortcut value, and the mean change of its label's probability says
whether the network uses the shortcut's region or the object's. A measure is right on an input if it prefers the map of
that region to the map of the other region and to a map of random pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...datasets.base import ShortcutDataset, generator
from ...methods.explainers.base import ForwardFunction
from .base import Metric, Values, metrics
from .evaluated import Evaluated
from .reliance import label_changes

Images = Float[Tensor, "n channels rows columns"]
Maps = Float[Tensor, "n rows columns"]
Pixels = Bool[Tensor, "n rows columns"]
Scores = Float[Tensor, "n"]
Score = Callable[[ForwardFunction, Images, Maps, Int[Tensor, "n"], np.random.Generator], Scores]
"""Of a network, images, a map of each, and the explained classes: greater for a map that is more faithful."""
INPUTS = 24
RELIES = 0.5
"""Mean change of the label's probability from which a network uses the shortcut on an input."""
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Of the pixels that are replaced, the most important first."""
TIES = 0.01
"""Height of the noise that orders a map's pixels within its region, whose height is 1."""
NOISE, PERTURBATIONS, PERTURBED = 0.01, 20, 0.2
"""Deviation of ROAD's noise; draws of infidelity's perturbations, and their deviation."""

SUBJECTS: dict[str, Score] = {}


def _subject(score: Score) -> Score:
    SUBJECTS[score.__name__] = score
    return score


@_subject
def deletion(
    network: ForwardFunction, inputs: Images, maps: Maps, classes: Int[Tensor, "n"], rng: np.random.Generator
) -> Scores:
    """Minus the mean probability after the most important pixels are the image's mean (Petsiuk et al. 2018)."""
    mean = inputs.mean((2, 3), keepdim=True).expand_as(inputs)
    return -_mean_probability(network, [_mixed(inputs, mean, _first(maps, share)) for share in SHARES], classes)


@_subject
def insertion(
    network: ForwardFunction, inputs: Images, maps: Maps, classes: Int[Tensor, "n"], rng: np.random.Generator
) -> Scores:
    """The mean probability of an image of its mean colour that is given the most important pixels (Petsiuk et al.)."""
    mean = inputs.mean((2, 3), keepdim=True).expand_as(inputs)
    return _mean_probability(network, [_mixed(mean, inputs, _first(maps, share)) for share in SHARES], classes)


@_subject
def road(
    network: ForwardFunction, inputs: Images, maps: Maps, classes: Int[Tensor, "n"], rng: np.random.Generator
) -> Scores:
    """Minus the mean probability after the most important pixels are imputed (Rong et al. 2022).

    Each missing pixel is the weighted mean of its neighbours, 1/6 for sides and 1/12 for corners, plus noise
    (arxiv.org/abs/2202.00449).
    """
    replaced = []
    for share in SHARES:
        missing = _first(maps, share)
        noise = torch.from_numpy(rng.normal(0, NOISE, tuple(inputs.shape))).to(inputs)
        replaced.append(_mixed(inputs, imputed(inputs, missing) + noise, missing))
    return -_mean_probability(network, replaced, classes)


@_subject
def infidelity(
    network: ForwardFunction, inputs: Images, maps: Maps, classes: Int[Tensor, "n"], rng: np.random.Generator
) -> Scores:
    """Minus E[(I . map - (f(x) - f(x - I)))^2] for Gaussian I, the map scaled to fit (Yeh et al. 2019)."""
    from captum.metrics import infidelity as of_captum

    def perturbed(given: Tensor) -> tuple[Tensor, Tensor]:
        noise = torch.from_numpy(rng.normal(0, PERTURBED, tuple(given.shape))).to(given)
        return noise, given - noise

    attributions = maps[:, None].expand_as(inputs)
    with torch.no_grad():
        return -of_captum(
            network, perturbed, inputs, attributions, target=classes, n_perturb_samples=PERTURBATIONS, normalize=True
        )


@metrics.measured_by(
    *(
        Metric(
            f"faithful/{name}",
            "higher",
            0,
            1,
            "1/3 for a measure that knows nothing",
            f"Share of inputs on which {name} prefers the map of the region that the network uses.",
        )
        for name in SUBJECTS
    )
)
def rightness(evaluated: Evaluated) -> Values:
    """By measure, where a suite ranks explainers, of images with core masks that can be rendered with every value."""
    draw = evaluated.draw
    if not evaluated.untrained or draw.with_value is None or len(evaluated.valued) < 2 or len(draw.features) != 3:
        return {}
    if draw.with_value(0).core is None:
        return {}
    inputs, shortcut, core, labels = _with_own_values(draw)
    one = evaluated.valued["0"]
    shown = inputs.to(one.device, one.dtype)
    relies = _changes(evaluated)[:, : len(labels)] > RELIES
    measured: dict[str, Tensor] = {}
    for name, score in SUBJECTS.items():
        shares = []
        for network, of_network in zip(evaluated.networks, relies.cpu(), strict=True):
            rng = generator(draw.seed, f"faithfulness/{name}")
            with torch.no_grad():
                classes = network(shown).argmax(1)
            shares.append(_right(network, shown, (shortcut, core), of_network, classes, score, rng))
        measured[f"faithful/{name}"] = torch.stack(shares)
    return measured


def _right(
    network: ForwardFunction,
    inputs: Images,
    regions: tuple[Pixels, Pixels],
    relies: Bool[Tensor, "n"],
    classes: Int[Tensor, "n"],
    score: Score,
    rng: np.random.Generator,
) -> Float[Tensor, ""]:
    """Share of the inputs on which the map of the used region has the best score of three."""
    ties = torch.from_numpy(rng.random((3, *regions[0].shape))) * TIES
    maps = torch.stack([*regions, torch.zeros_like(regions[0])]).double() + ties
    of_shortcut, of_core, of_none = (score(network, inputs, own.to(inputs), classes, rng).cpu() for own in maps)
    used = torch.where(relies, of_shortcut, of_core)
    other = torch.where(relies, of_core, of_shortcut)
    return ((used > other) & (used > of_none)).double().mean()


def _with_own_values(draw: ShortcutDataset) -> tuple[Images, Pixels, Pixels, Int[Tensor, "n"]]:
    """The first test inputs, each with its class's shortcut value: images, shortcut's and object's pixels, labels."""
    assert draw.with_value is not None
    values = int(draw.class_shortcuts.max()) + 1
    rendered = [draw.with_value(value).batch(slice(0, INPUTS)) for value in range(values)]
    labels = rendered[0].labels
    own, rows = draw.class_shortcuts[labels], torch.arange(len(labels))
    inputs = torch.stack([batch.inputs for batch in rendered])[own, rows]
    masks = torch.stack([batch.masks for batch in rendered])[own, rows]
    core = rendered[0].core
    assert core is not None
    return inputs, masks.any(1), core.any(1), labels


def _changes(evaluated: Evaluated) -> Float[Tensor, "strengths n"]:
    """By input, the mean change of its label's probability when the shortcut has another value."""
    draw = evaluated.draw
    assert draw.with_value is not None
    labels = draw.with_value(0).labels
    valued = torch.stack([logits.cpu() for logits in evaluated.valued.values()])
    return label_changes(valued, labels, draw.class_shortcuts[labels]).sum(0) / (len(valued) - 1)


def _first(maps: Maps, share: float) -> Pixels:
    """The pixels of each map with the greatest numbers, a share of all."""
    places = maps.flatten(1).argsort(1, descending=True).argsort(1)
    return (places < round(share * places.shape[1])).view_as(maps)


def _mixed(inputs: Images, other: Images, where: Pixels) -> Images:
    """The inputs, and the other images at some pixels."""
    return torch.where(where[:, None], other, inputs)


def _mean_probability(network: ForwardFunction, versions: list[Images], classes: Int[Tensor, "n"]) -> Scores:
    """Of each input's class, over versions of the inputs."""
    with torch.no_grad():
        p = [network(version).softmax(1).gather(1, classes[:, None])[:, 0] for version in versions]
    return torch.stack(p).mean(0)


def imputed(images: Images, missing: Pixels) -> Images:
    """The images with each missing pixel the weighted mean of its neighbours, missing ones too: a linear system."""
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import spsolve

    n, channels, rows, columns = images.shape
    weights, known = _neighbours(rows, columns), images.detach().double().cpu().numpy().reshape(n, channels, -1)
    filled = known.copy()
    for i, gone in enumerate(missing.flatten(1).cpu().numpy()):
        if not gone.any() or gone.all():
            continue
        of_gone = weights[gone]
        system = diags_array(of_gone.sum(1)) - of_gone[:, gone]
        right = of_gone[:, ~gone] @ known[i][:, ~gone].T
        filled[i][:, gone] = spsolve(system.tocsc(), right).reshape(-1, channels).T
    return torch.from_numpy(filled.reshape(images.shape)).to(images)


def _neighbours(rows: int, columns: int) -> Any:
    """The weights of each pixel's neighbours, sparse, (pixels, pixels): 1/6 for sides, 1/12 for corners."""
    from scipy.sparse import csr_array

    place = np.arange(rows * columns).reshape(rows, columns)
    starts, ends, weights = [], [], []
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            if down or right:
                one = place[max(0, -down) : rows - max(0, down), max(0, -right) : columns - max(0, right)]
                other = place[max(0, down) : rows - max(0, -down), max(0, right) : columns - max(0, -right)]
                starts.append(one.ravel())
                ends.append(other.ravel())
                weights.append(np.full(one.size, 1 / 12 if down and right else 1 / 6))
    entries = np.concatenate(weights), (np.concatenate(starts), np.concatenate(ends))
    return csr_array(entries, shape=(rows * columns, rows * columns))
