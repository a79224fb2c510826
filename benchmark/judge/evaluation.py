"""Evaluates a network that somebody trained, by the metrics of the records."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Bool
from torch import Tensor
from tqdm import tqdm

from ...datasets.base import MADE_UP, Environment, ShortcutDataset, Split
from ...datasets.image_folder import recipe_of
from ...datasets.keywords import knowing_its_keywords
from ...datasets.made_up import grown, made_up
from ...datasets.recipe import Recipe
from ...methods.explainers.base import Explainer, ForwardFunction, evaluating, undisturbed_draws
from ...methods.explainers.base import explainers as known_explainers
from ..engine.device import float32_products
from ..figures.evaluation import Pictured
from ..metrics.base import metrics
from ..metrics.evaluated import Evaluated, Lazy
from ..metrics.evaluating import EXPLAINERS, can_explain, evaluated, explained_inputs
from ..metrics.made_up import FEW_TWINS, cautions, reliance_on_twins, require_twins
from ..ranking.leaderboard import untrained
from ..ranking.statistics import share_interval
from .identity import identity_of
from .network import Judged, Normalization, NotJudged, judged, require_finite
from .report import Report
from .twins import Twins, counted_twins, predictions_of

PROBED, PICTURED = 16, 5
"""Inputs on which a network shows that it gives logits, and inputs of a figure."""
DRAWN = ("input_gradient", "integrated_gradients", "gradcam")
"""Explainers of a figure, as far as they can look into the network."""
WIDER = 2
"""Pixels by which masks are made wider, to see whether they are too small."""
UNATTRIBUTED = 0.1
"""Share of the inputs with a mask from which a warning says that they have no attribution."""
BAR = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
CONTROLLED: tuple[Environment, ...] = ("exchanged", "elsewhere")


@knowing_its_keywords()
@float32_products()
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
    _require_arguments(model, data, seed, explainers, batch_size)
    recipe = recipe_of(data) if isinstance(data, str | Path) else data
    draw = recipe.make(seed) if isinstance(recipe, Recipe) else recipe
    explained = explained_inputs(draw)
    taken = judged(model, explained.inputs[:PROBED], draw.classes, normalize)
    ranked = [_able(known_explainers.resolve(one), taken) for one in explainers]
    names = list(draw.environments) if "observed" in draw.environments else None
    with ExitStack() as stack:
        for context in (evaluating(taken.network), undisturbed_draws(taken.device)):
            stack.enter_context(context)
        bar = stack.enter_context(tqdm(desc="evaluating", bar_format=BAR, leave=False, delay=2, disable=None))
        seen = partial(
            evaluated, [taken.network], device=taken.device, dtype=taken.dtype, explained=explained,
            batch_size=batch_size, passed=bar.update,
        )  # fmt: skip
        found = seen(draw, ranked=ranked, names=names, saliency=taken.differentiable)
        costs = _costs_of_explaining(found, ranked)
        bar.total = _predictions(found) + sum(costs.values())
        found = _shown_while_explained(found, costs, bar)
        measured = {name: float(value) for name, value in metrics.measure(found).items()}
        for split in found.logits:
            require_finite(found.logits[split][0], split)
        twins, counted = Twins.of(found), _counted(draw, found.splits)
        wider = _with_wider_masks(found, seen)
        return Report(
            identity_of(model, name, recipe if isinstance(recipe, Recipe) else None, draw, found),
            known := {name: value for name, value in measured.items() if not math.isnan(value)},
            {name: counted[name] for name in known if name in counted},
            {name: share_interval(known[name], counted[name]) for name in known if name in counted and _is_share(name)},
            tuple(_warnings(found, known, wider, taken.differentiable)),
            twins.flips if twins else [],
            predictions_of(found, twins),
            _pictured(found, taken, twins),
        )


def _require_arguments(model: object, data: object, seed: object, explainers: object, batch_size: object) -> None:
    """Refuses values of another kind, which would fail later and less plainly."""
    if not isinstance(data, str | Path | Recipe | ShortcutDataset):
        raise TypeError(
            f"data is a {type(data).__name__}: give a dataset's name, a recipe, a draw, or a folder of images "
            "(rrrbench.image_folder): where the shortcut is must be known of each input"
        )
    if isinstance(model, type):
        raise NotJudged(f"{model.__name__} is a class: give a network, {model.__name__}(...)")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed = {seed!r}: give a whole number from 0, of the draw of the dataset")
    if isinstance(explainers, str) or not isinstance(explainers, Sequence):
        raise TypeError(f"explainers = {explainers!r} is no list: give names in a list, such as ['smooth_gradient']")
    if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
        raise ValueError(f"batch_size = {batch_size!r}: give a whole number from 1, or leave it out")


def _predictions(found: Evaluated) -> int:
    """How many inputs are predicted, the pictured ones aside."""
    again = len(CONTROLLED) * len(found.draw.test("observed")) if "exchanged" in found.draw.environments else 0
    valued = len(found.valued) * len(found.draw.with_value(0)) if found.draw.with_value else 0
    return again + valued + sum(map(len, found.splits.values()))


def _costs_of_explaining(found: Evaluated, ranked: Sequence[Explainer]) -> dict[str, int]:
    """By explainer, as many predictions as take about as long: a step forward and back is three."""
    steps = {one.id: getattr(one, "n_steps", 1) for one in (*map(known_explainers.resolve, EXPLAINERS), *ranked)}
    return {name: 3 * steps[name] * len(found.explained.labels) for name in found.attributions if found.explained}


def _shown_while_explained(found: Evaluated, costs: Mapping[str, int], bar: tqdm) -> Evaluated:
    """The same, with a bar that goes on with every explainer."""

    def attributions(name: str) -> Tensor:
        bar.set_description(f"evaluating, {name}")
        attributed = found.attributions[name]
        bar.update(costs[name])
        bar.set_description("evaluating", refresh=False)
        return attributed

    return replace(found, attributions=Lazy(list(found.attributions), attributions))


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
    elif found.explained is not None:
        said += _without_attributions(found.explained.masks, measured)
    if all(float(logits.min()) >= 0 and float(logits.max()) <= 1 for logits in found.logits.values()):
        said.append(
            "all logits lie in [0, 1], as a sigmoid's outputs do: probability_shift and graded_reliance are of their "
            "softmax; give logits, by leaving the sigmoid out"
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


def _without_attributions(masks: Bool[Tensor, "n *features"], measured: Mapping[str, float]) -> list[str]:
    """A warning where the saliency scores are of few of the inputs that have a mask, or of none."""
    masked = int(masks.flatten(1).any(1).sum())
    none = {name.partition("/")[2]: int(n) for name, n in measured.items() if name.startswith("unattributed/")}
    if not none and masked:
        return ["attributions are not finite: saliency is not measured"]
    return [
        f"{name} attributes nothing to any pixel of {count} of {masked} inputs with a mask (the network rounds, or is "
        f"flat there): saliency by it is {'not measured' if count == masked else 'of the others alone'}"
        for name, count in none.items()
        if count > UNATTRIBUTED * masked
    ]


def _with_wider_masks(found: Evaluated, seen: Callable[..., Evaluated]) -> dict[str, float]:
    """Reliance on twins that are made up of wider masks: if flips rise, the masks may be too small. Empty without.

    Args:
        seen: `evaluated` with the network and how it is evaluated.
    """
    draw = found.draw
    if "exchanged" not in draw.environments:
        return {}
    observed = draw.test("observed")
    valued = bool((torch.cat([draw.train.shortcuts, observed.shortcuts]) >= 0).any())
    wider = made_up(grown(observed, WIDER), draw.seed, valued)
    other = replace(draw, environments={"observed": observed, **{name: wider[name] for name in CONTROLLED}})
    again = seen(other, names=CONTROLLED, saliency=False)
    logits = {"observed": found.logits["observed"], **{name: again.logits[name] for name in CONTROLLED}}
    measured = reliance_on_twins(Evaluated(other, logits, networks=found.networks))
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
