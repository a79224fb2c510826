"""Evaluates a network that somebody trained, by the metrics of the records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from ...datasets.base import ShortcutDataset
from ...datasets.recipe import Recipe, parsed
from ...methods.explainers.base import Explainer, ForwardFunction, evaluating, undisturbed_draws
from ...methods.explainers.base import explainers as known_explainers
from ..figures.evaluation import Pictured
from ..metrics.base import metrics
from ..metrics.evaluated import Evaluated
from ..metrics.evaluating import can_explain, evaluated, explained_inputs
from ..ranking.leaderboard import untrained
from ..ranking.statistics import share_interval
from .identity import identity_of
from .network import Judged, Normalization, NotJudged, judged
from .report import Report
from .twins import Twins

PROBED, PICTURED = 4, 5
"""Inputs on which a network shows that it gives logits, and inputs of a figure."""
DRAWN = ("input_gradient", "integrated_gradients", "gradcam")
"""Explainers of a figure, as far as they can look into the network."""
FEW_TWINS = 200


def evaluate(
    model: ForwardFunction,
    data: str | Path | Recipe | ShortcutDataset,
    *,
    seed: int = 0,
    name: str | None = None,
    normalize: Normalization | None = None,
    explainers: Sequence[str] = (),
    batch_size: int | None = None,
) -> Report:
    """Measures how accurate a network is, how far it follows the shortcut, and where it looks.

    The numbers are those of a record: a network of a sweep has the numbers of its record. The model is evaluated in
    evaluation mode on the device and in the type of its parameters; afterwards it is as it was.

    Args:
        model: an `nn.Module` or a function from images (n, channels, height, width) in [0, 1] to logits (n, classes).
        data: a dataset's name with its base (`decoy-mnist`), a recipe, a draw, or a folder of images.
        seed: of the draw of the dataset.
        name: of the network, in reports and tables; its class if not given.
        normalize: `"imagenet"`, or (mean, std) by channel, if the network expects such inputs.
        explainers: names of further explainers, beside the protocol's.
        batch_size: images in a forward pass; by their size if not given.

    Raises:
        NotJudged: the model is no such network, e.g. gives probabilities, or depends on the other inputs of a batch.
        UnknownName: there is no such dataset or explainer.
        MissingData: its files are not there.
    """
    recipe = _recipe(data)
    draw = recipe.make(seed) if isinstance(recipe, Recipe) else recipe
    taken = judged(model, explained_inputs(draw).inputs[:PROBED], draw.classes, normalize)
    ranked = [_able(known_explainers.resolve(one), taken) for one in explainers]
    names = list(draw.environments) if "observed" in draw.environments else None
    with ExitStack() as stack:
        for context in (evaluating(taken.network), undisturbed_draws(taken.device)):
            stack.enter_context(context)
        found = evaluated(
            [taken.network], draw, taken.device, taken.dtype, ranked=ranked, names=names, batch_size=batch_size
        )
        measured = {name: float(value) for name, value in metrics.measure(found).items()}
        twins = Twins.of(found)
        counted = _counted(found, twins)
        return Report(
            identity_of(model, name, recipe if isinstance(recipe, Recipe) else None, draw, found),
            known := {name: value for name, value in measured.items() if not math.isnan(value)},
            {name: counted[name] for name in known if name in counted},
            {name: share_interval(known[name], counted[name]) for name in known if name in counted and _is_share(name)},
            tuple(_warnings(known, twins)),
            twins.flips if twins else [],
            _pictured(found, taken, twins),
        )


def _recipe(data: str | Path | Recipe | ShortcutDataset) -> Recipe | ShortcutDataset:
    """The recipe of a name or a folder; anything else as it is."""
    if isinstance(data, Recipe | ShortcutDataset):
        return data
    if isinstance(data, str | Path):
        return parsed(str(data))
    raise TypeError(f"data is a {type(data).__name__}: give a dataset's name, a recipe, a draw, or a folder of images")


def _able(explainer: Explainer, taken: Judged) -> Explainer:
    if can_explain(explainer, taken.network):
        return explainer
    raise NotJudged(f"{explainer.id} cannot look into this network: it needs an nn.Module with convolutions or layers")


def _is_share(name: str) -> bool:
    return not name.startswith("probability_shift")


def _counted(found: Evaluated, twins: Twins | None) -> dict[str, int]:
    """How many inputs each share is of."""
    counted = {f"accuracy/{name}": len(split) for name, split in found.splits.items()}
    if twins is not None:
        suffix = "" if twins.after == "random" else f"/{twins.after}"
        counted |= {f"{name}{suffix}": int(twins.counted.sum()) for name in ("flip_rate", "probability_shift")}
    if "conflict" in found.splits:
        counted["follow_rate"] = int((found.splits["conflict"].shortcuts >= 0).sum())
    return counted


def _warnings(measured: Mapping[str, float], twins: Twins | None) -> list[str]:
    warnings = []
    if bool(untrained(pd.DataFrame([measured]))[0]):
        warnings.append(
            "untrained: the network is near chance, or predicts one class, on data like its training data; a network "
            "that has learned nothing flips on nothing"
        )
    if twins is None or not bool(twins.counted.any()):
        warnings.append("no twins show another shortcut value: reliance on the shortcut is not measured")
    elif (count := int(twins.counted.sum())) < FEW_TWINS:
        warnings.append(f"{count} twins: a rate of so few is uncertain; see its interval")
    return warnings


def _pictured(found: Evaluated, taken: Judged, twins: Twins | None) -> Pictured:
    """The first inputs that flip, then others; of a dataset without twins the first inputs."""
    draw = found.draw
    shown = draw.test(twins.before) if twins else next(iter(draw.environments.values()))
    index = torch.tensor((twins.first(PICTURED) if twins else []) or list(range(min(PICTURED, len(shown)))))
    batch = shown.batch(index)
    inputs = batch.inputs.to(taken.device, taken.dtype)
    with torch.no_grad():
        predicted = taken.network(inputs).argmax(-1)
    maps = {}
    for explainer in map(known_explainers.resolve, DRAWN):
        if can_explain(explainer, taken.network):
            maps[explainer.id] = torch.nan_to_num(explainer.attribute(taken.network, inputs, predicted)).cpu()
    before = [f"{label}, predicted {said}" for label, said in _pairs(batch.labels, predicted)]
    if twins is None:
        return Pictured(batch.inputs, batch.masks, before, maps=maps)
    other = draw.test(twins.after).batch(index)
    said = twins.predicted_after[index]
    return Pictured(
        batch.inputs,
        batch.masks | other.masks,
        before,
        other.inputs,
        [f"predicted {one}" for one in said.tolist()],
        (predicted.cpu() != said).tolist(),
        maps,
    )


def _pairs(labels: Tensor, predicted: Tensor) -> list[tuple[int, int]]:
    return list(zip(labels.tolist(), predicted.tolist(), strict=True))
