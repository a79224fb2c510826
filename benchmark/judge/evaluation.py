"""Evaluates a network that somebody trained, by the metrics of the records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from ...datasets.base import MADE_UP, Environment, ShortcutDataset, Split
from ...datasets.image_folder import recipe_of
from ...datasets.made_up import grown, made_up
from ...datasets.recipe import Recipe
from ...methods.explainers.base import Explainer, ForwardFunction, evaluating, undisturbed_draws
from ...methods.explainers.base import explainers as known_explainers
from ..figures.evaluation import Pictured
from ..metrics.base import metrics
from ..metrics.evaluated import Evaluated
from ..metrics.evaluating import can_explain, evaluated, explained_inputs
from ..metrics.made_up import FEW_TWINS, cautions, reliance_on_twins, require_twins
from ..ranking.leaderboard import untrained
from ..ranking.statistics import share_interval
from .identity import identity_of
from .network import Judged, Normalization, NotJudged, judged
from .report import Report
from .twins import Twins, counted_twins

PROBED, PICTURED = 4, 5
"""Inputs on which a network shows that it gives logits, and inputs of a figure."""
DRAWN = ("input_gradient", "integrated_gradients", "gradcam")
"""Explainers of a figure, as far as they can look into the network."""
WIDER = 2
"""Pixels by which masks are made wider, to see whether they are too small."""
CONTROLLED: tuple[Environment, ...] = ("exchanged", "elsewhere")


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
    recipe = recipe_of(data) if isinstance(data, str | Path) else data
    if not isinstance(recipe, Recipe | ShortcutDataset):
        kind = type(data).__name__
        raise TypeError(f"data is a {kind}: give a dataset's name, a recipe, a draw, or a folder of images")
    draw = recipe.make(seed) if isinstance(recipe, Recipe) else recipe
    taken = judged(model, explained_inputs(draw).inputs[:PROBED], draw.classes, normalize)
    ranked = [_able(known_explainers.resolve(one), taken) for one in explainers]
    names = list(draw.environments) if "observed" in draw.environments else None
    with ExitStack() as stack:
        for context in (evaluating(taken.network), undisturbed_draws(taken.device)):
            stack.enter_context(context)
        found = evaluated(
            [taken.network],
            draw,
            taken.device,
            taken.dtype,
            ranked=ranked,
            names=names,
            batch_size=batch_size,
            saliency=taken.differentiable,
        )
        measured = {name: float(value) for name, value in metrics.measure(found).items()}
        twins, counted = Twins.of(found), _counted(draw, found.splits)
        wider = _with_wider_masks(found, taken, batch_size)
        return Report(
            identity_of(model, name, recipe if isinstance(recipe, Recipe) else None, draw, found),
            known := {name: value for name, value in measured.items() if not math.isnan(value)},
            {name: counted[name] for name in known if name in counted},
            {name: share_interval(known[name], counted[name]) for name in known if name in counted and _is_share(name)},
            tuple(_warnings(found, known, wider, taken.differentiable)),
            twins.flips if twins else [],
            _pictured(found, taken, twins),
        )


def _able(explainer: Explainer, taken: Judged) -> Explainer:
    if not taken.differentiable:
        raise NotJudged(f"{explainer.id} asks for gradients, and none reaches the inputs of this network")
    if can_explain(explainer, taken.network):
        return explainer
    raise NotJudged(f"{explainer.id} cannot look into this network: it needs an nn.Module with convolutions or layers")


def _is_share(name: str) -> bool:
    return not name.startswith("probability_shift")


def _counted(draw: ShortcutDataset, splits: Mapping[str, Split]) -> dict[str, int]:
    """How many inputs each share is of."""
    counted = {f"accuracy/{name}": len(split) for name, split in splits.items()}
    if {"aligned", "random"} <= draw.environments.keys():
        counted |= dict.fromkeys(("flip_rate", "probability_shift"), _count(draw, "aligned", "random"))
    for twin in set(MADE_UP) & draw.environments.keys() - {"observed"}:
        count = _count(draw, "observed", twin)
        counted |= {f"{name}/{twin}": count for name in ("flip_rate", "probability_shift")}
    if "conflict" in draw.environments:
        counted["follow_rate"] = int((draw.test("conflict").shortcuts >= 0).sum())
    return counted


def _count(draw: ShortcutDataset, before: Environment, after: Environment) -> int:
    return int(counted_twins(draw, before, after).sum())


def _warnings(
    found: Evaluated, measured: Mapping[str, float], wider: Mapping[str, float], differentiable: bool
) -> list[str]:
    draw, said = found.draw, []
    if not differentiable:
        said.append(
            "no gradient reaches the inputs (NumPy on the way, torch.no_grad, or inference mode): saliency is not "
            "measured"
        )
    if bool(untrained(pd.DataFrame([measured]))[0]):
        said.append(
            "untrained: the network is near chance, or predicts one class, on data like its training data; a network "
            "that has learned nothing flips on nothing"
        )
    if "observed" in draw.environments:
        try:
            require_twins(draw)
        except ValueError as error:
            return [*said, str(error)]
        made_up = "twins are made up from masks: their numbers are estimates, not comparable with those of other tables"
        return [*said, made_up, *cautions(draw, measured, wider)]
    twins = Twins.of(found)
    if twins is None or not (count := int(twins.counted.sum())):
        said.append("no twins show another shortcut value: reliance on the shortcut is not measured")
    elif count < FEW_TWINS:
        said.append(f"{count} twins: a rate of so few is uncertain; see its interval")
    return said


def _with_wider_masks(found: Evaluated, taken: Judged, batch_size: int | None) -> dict[str, float]:
    """Reliance on twins that are made up of wider masks: if flips rise, the masks may be too small. Empty without."""
    draw = found.draw
    if "exchanged" not in draw.environments:
        return {}
    observed = draw.test("observed")
    valued = bool((torch.cat([draw.train.shortcuts, observed.shortcuts]) >= 0).any())
    wider = made_up(grown(observed, WIDER), draw.seed, valued)
    other = replace(draw, environments={"observed": observed, **{name: wider[name] for name in CONTROLLED}})
    again = evaluated([taken.network], other, taken.device, taken.dtype, names=CONTROLLED, batch_size=batch_size)
    logits = {"observed": found.logits["observed"], **{name: again.logits[name] for name in CONTROLLED}}
    measured = reliance_on_twins(Evaluated(other, logits, networks=[taken.network]))
    return {name: float(value) for name, value in measured.items()}


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
        if taken.differentiable and can_explain(explainer, taken.network):
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
