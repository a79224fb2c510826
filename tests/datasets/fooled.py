"""How far is ERM fooled by each data set? `python tests/datasets/fooled.py` prints the tables of docs/data.md."""

from __future__ import annotations

import pandas as pd
import torch
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.benchmark.metrics.accuracy import accuracy
from rrrbench.benchmark.metrics.evaluating import evaluated
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.suite.training import Training
from rrrbench.datasets.planter import planters
from rrrbench.datasets.recipe import datasets
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.network import Net

SHAPES = ("word", "stripes", "ruler", "watermark", "plaster")
DEFAULTS = [
    *({"name": name} for name in planters.names() if name != "overlay"),
    *({"name": "overlay", "shape": shape} for shape in SHAPES),
]
PHOTOS = {"name": "background", "scenes": "npz:cifar10_subset.npz"}
"""Printed too where the data root has the file."""
OTHERS = [{"name": "table"}, {"name": "table", "base": "wine"}, {"name": "token-order"}]
SHOWN = ("aligned", "random", "conflict", "clean")


def accuracies(planter, seeds):
    """On digits with this planter's shortcut."""
    return of_erm({"name": "planted", "planters": [planter]}, seeds)


def of_erm(dataset, seeds):
    """Mean over the seeds of an mlp's accuracy in each environment, trained for 30 epochs."""
    draws = [datasets.resolve(dataset).make(seed) for seed in seeds]
    training = Training(epochs=30, batch_size=64, learning_rate=0.003)
    recipe = networks.resolve({"name": "mlp", "init": "torch"})
    trainer, found = Trainer(recipe, draws, training, torch.zeros(len(draws), 1)), []
    fitted = ERM().fit(trainer)
    for row, draw in enumerate(draws):
        net = Net(trainer.modules[row], {name: value[row, 0] for name, value in fitted.parameters.items()})
        on = evaluated([net], draw, torch.device("cpu"), torch.float32, names=SHOWN, saliency=False)
        found.append({name: float(accuracy(on.predictions[name], draw.test(name).labels)) for name in SHOWN})
    return pd.DataFrame(found).mean()


if __name__ == "__main__":
    torch.set_num_threads(1)
    specs = [*DEFAULTS, *([PHOTOS] if planters.resolve(PHOTOS).files() else [])]
    planted = {planters.resolve(spec).id: accuracies(spec, range(5)) for spec in specs}
    others = {datasets.resolve(spec).id: of_erm(spec, range(5)) for spec in OTHERS}
    print(pd.DataFrame({**planted, **others}).T.to_markdown(floatfmt=".2f"))
