"""How well do twins that are made up from masks agree with true twins? `python tests/datasets/agreement.py`

Trains networks on data sets with a known rule, which can redraw a shortcut, and measures each network twice: on true
twins, and on twins that are made up from the test images and their masks alone. Writes results/made-up-twins/.
`RRRBENCH_DATA=D` with D/cifar10_subset.npz adds colour patches on photos.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.benchmark.metrics.accuracy import accuracy
from rrrbench.benchmark.metrics.evaluating import evaluated
from rrrbench.benchmark.metrics.made_up import cautions, following_on_twins, reliance_on_twins
from rrrbench.benchmark.metrics.reliance import flip_rate, follow_rate, probability_shift, redrawn
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.suite.training import Training
from rrrbench.datasets.made_up import grown, made_up
from rrrbench.datasets.recipe import make
from rrrbench.datasets.sources import data_root
from rrrbench.methods.base import mitigations
from rrrbench.methods.network import Net
from scipy.stats import pearsonr, spearmanr

RESULTS = Path(__file__).parents[2] / "results/made-up-twins"
CORRELATIONS = (0.0, 0.5, 0.9, 1.0)
"""Of the shortcut with the class in training: from networks that cannot use it to networks that know nothing else."""
TRAINED = (("erm", (0.0,)), ("rrr", (0.001, 0.01)))
FIGURES = ("flip_rate", "flip_rate, two true draws", "probability_shift", "follow_rate", "accuracy")


class Setting(NamedTuple):
    dataset: dict
    network: dict
    epochs: int
    learning_rate: float
    says: str
    presence: bool = False


MLP = {"name": "mlp", "pixel_range": [0, 16]}
WIDE = {"name": "mlp", "hidden": [100], "init": "torch"}
DECOY, PATCH = {"name": "decoy", "base": "digits"}, {"name": "colored-patch", "base": "npz:cifar10_subset.npz"}
SETTINGS = {
    "patch": Setting(PATCH, WIDE, 8, 0.002, "colour patches on CIFAR-10 (5k subset)"),
    "colours": Setting({"name": "colored-patch", "base": "digits"}, WIDE, 15, 0.002, "colour patches on digits"),
    "digits": Setting(DECOY, MLP, 40, 0.01, "grey squares on digits"),
    "glass": Setting({"name": "colored-patch", "base": "digits", "opacity": 0.4}, WIDE, 25, 0.003,
                     "see-through patches on digits"),
    "presence": Setting(DECOY, MLP, 40, 0.01, "grey squares on digits, which classes 0 to 4 alone have", presence=True),
}  # fmt: skip


def observed(setting, draw):
    """The test images as a researcher has them: with the shortcut that goes with their class."""
    aligned = draw.test("aligned")
    return without(aligned, draw.test("clean").inputs) if setting.presence else aligned


def without(split, clean):
    """The split without a shortcut in classes 5 to 9."""
    has = (split.labels < 5)[:, None, None, None]
    inputs, masks = torch.where(has, split.inputs, clean), split.masks & has
    return replace(split, inputs=inputs, masks=masks, shortcuts=torch.where(has.flatten(), split.shortcuts, -1))


def true_figures(setting, draw, logits):
    """Of every network, on twins that the rule redraws."""
    z = {name: logits[name] for name in ("aligned", "random", "conflict", "clean")}
    aligned, random, conflict = (draw.test(name) for name in ("aligned", "random", "conflict"))
    predicted = {name: values.argmax(-1) for name, values in z.items()}
    if setting.presence:  # with and without, where the rule for classes 0 to 4 has drawn the square
        has, may = aligned.labels < 5, (aligned.labels >= 5) & (random.shortcuts < 5)
        flips = [flip_rate(predicted["aligned"], predicted["clean"], has),
                 flip_rate(predicted["clean"], predicted["random"], may)]  # fmt: skip
        return {"flip_rate": sum(flips) / 2}
    counted = redrawn(aligned, random)
    return {
        "flip_rate": flip_rate(predicted["aligned"], predicted["random"], counted),
        "flip_rate, two true draws": flip_rate(predicted["aligned"], predicted["random"], counted),
        "probability_shift": probability_shift(z["aligned"], z["random"], aligned.labels, counted),
        "follow_rate": follow_rate(predicted["conflict"], conflict.shortcuts, draw.class_shortcuts),
        "accuracy": accuracy(predicted["conflict"], conflict.labels),
    }


def made_up_figures(setting, draw, nets, second):
    """Of every network, on twins that are made up; and the cautions about each network."""
    device, dtype = torch.device("cpu"), torch.float32
    split = observed(setting, draw)

    def measured(split):
        twins = replace(draw, environments={"observed": split, **made_up(split, draw.seed)})
        on = evaluated(nets, twins, device, dtype, names=list(twins.environments))
        return twins, on, dict(reliance_on_twins(on)) | dict(following_on_twins(on))

    twins, on, values = measured(split)
    _, _, wider = measured(grown(split, 2))

    def of(values, i):
        return {name: float(value[i]) for name, value in values.items()}

    cautioned = [[text.partition(":")[0] for text in cautions(twins, of(values, i), of(wider, i))]
                 for i in range(len(nets))]  # fmt: skip
    if setting.presence:
        return {"flip_rate": values["flip_rate/removed_and_added"]}, cautioned
    exchanged = twins.test("exchanged")
    return {
        "flip_rate": values["flip_rate/exchanged"],
        "flip_rate, two true draws": second,
        "probability_shift": values["probability_shift/exchanged"],
        "follow_rate": values["follow_rate/exchanged"],
        "accuracy": accuracy(on.predictions["exchanged"], exchanged.labels),
    }, cautioned


def rows_of(name, setting):
    for correlation in CORRELATIONS:
        draw = make(**setting.dataset, correlation=correlation, seed=0)
        if setting.presence:
            clean = draw.clean_train().inputs if correlation else draw.train.inputs
            draw = replace(draw, train=without(draw.train, clean))
        for mitigation, strengths in TRAINED:
            recipe = networks.resolve(setting.network)
            training = Training(epochs=setting.epochs, batch_size=64, learning_rate=setting.learning_rate)
            trainer = Trainer(recipe, [draw], training, torch.tensor([strengths]), engine="single")
            fitted = mitigations.resolve(mitigation).fit(trainer)
            nets = [Net(trainer.modules[0], {key: value[0, i] for key, value in fitted.parameters.items()})
                    for i in range(len(strengths))]  # fmt: skip
            tested = make(**setting.dataset, correlation=1.0, seed=0)  # the test images have the rule without noise
            on = evaluated(nets, tested, torch.device("cpu"), torch.float32,
                           names=["aligned", "random", "conflict", "clean"])  # fmt: skip
            logits = {key: on.logits[key] for key in on.logits}
            second = flip_rate(logits["aligned"].argmax(-1), logits["conflict"].argmax(-1),
                               tested.test("conflict").shortcuts >= 0)  # fmt: skip
            true, (made, cautioned) = (
                true_figures(setting, tested, logits), made_up_figures(setting, tested, nets, second)
            )  # fmt: skip
            for i, strength in enumerate(strengths):
                run = {"data": name, "correlation": correlation, "mitigation": mitigation, "strength": strength}
                for figure in made:
                    numbers = {"true": float(true[figure][i]), "made_up": float(made[figure][i])}
                    yield {**run, "figure": figure, **numbers, "cautions": "; ".join(cautioned[i])}


def summary(rows):
    """A row a data set and figure: agreement over its networks."""
    table = []
    for (data, figure), own in rows.groupby(["data", "figure"], sort=False):
        error = own["made_up"] - own["true"]
        table.append({
            "data": data, "figure": figure, "networks": len(own),
            "true": f"{own['true'].min():.2f} to {own['true'].max():.2f}",
            "Spearman": spearmanr(own["true"], own["made_up"]).statistic,
            "Pearson": pearsonr(own["true"], own["made_up"]).statistic,
            "bias": error.mean(), "mean error": error.abs().mean(),
            "worst": error.iloc[error.abs().to_numpy().argmax()],
        })  # fmt: skip
    return pd.DataFrame(table)


def page(rows, minutes):
    said = "\n".join(f"- {name}: {setting.says}, {setting.network['name']}" for name, setting in SETTINGS.items()
                     if name in set(rows["data"]))  # fmt: skip
    runs = rows[rows["figure"] == "flip_rate"]
    cautioned = runs[runs["cautions"] != ""].groupby(["data", "cautions"], sort=False).size()
    lines = "\n".join(f"- {data}: {count} networks: {text}" for (data, text), count in cautioned.items()) or "none"
    figures = summary(rows).to_markdown(index=False, floatfmt="+.3f")
    return (
        "# Made-up twins against true twins\n\n"
        f"`python tests/datasets/agreement.py`, {minutes:.0f} minutes of one core, one seed. "
        "Made up minus true; correlations over networks, which differ in mitigation, strength and in how often the "
        "shortcut fits the class in training. *Two true draws* compares the rule's own twins with each other: as well "
        "as made-up twins can agree at best. Every network is in agreement.csv.\n\n"
        f"{said}\n\n{figures}\n\n## Cautions\n\nOf {len(runs)} networks whose masks are exact, so that "
        f"none is needed:\n\n{lines}\n"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    begin = time.process_time()
    there = (data_root() / "cifar10_subset.npz").is_file()
    chosen = sys.argv[1:] or [name for name in SETTINGS if name != "patch" or there]
    RESULTS.mkdir(parents=True, exist_ok=True)
    found = []
    for name in chosen:
        found += rows_of(name, SETTINGS[name])
        table = pd.DataFrame(found)
        table.to_csv(RESULTS / "agreement.csv", index=False, float_format="%.4f")
        (RESULTS / "README.md").write_text(page(table, (time.process_time() - begin) / 60))
    print((RESULTS / "README.md").read_text())
