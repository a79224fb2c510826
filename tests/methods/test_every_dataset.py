"""Every mitigation on every kind of dataset: grey images, coloured ones, vectors; fully correlated and not."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cache

import pytest
import torch
from rrrbench.benchmark.conformance.small import needs_convolutions
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.suite.training import Training
from rrrbench.datasets.base import ShortcutDataset, Split
from rrrbench.datasets.recipe import datasets
from rrrbench.methods.base import mitigations
from rrrbench.methods.network import Net
from small import bound

KINDS = {
    "grey": {"name": "decoy", "base": "digits"},
    "grey, with a minority": {"name": "decoy", "base": "digits", "correlation": 0.5},
    "coloured": {"name": "colored-patch", "base": "digits"},
    "two rules": {"name": "toy-colors", "train_inputs": 200, "test_inputs": 200},
    "vectors": {"name": "iris-cancer"},
}
TOO_SMALL_FOR_LENET = ("two rules", "vectors")
STEPS, BATCH = 2, 32


@cache
def draw_of(kind: str) -> ShortcutDataset:
    """As many inputs as two steps take."""

    def few(split: Split) -> Split:
        return split.rows(slice(STEPS * BATCH))

    draw = datasets.resolve(KINDS[kind]).make(0)
    clean = draw.clean_train
    return replace(
        draw,
        train=few(draw.train),
        validation=few(draw.validation),
        environments={name: few(split) for name, split in draw.environments.items()},
        clean_train=clean and (lambda: few(clean())),
    )


def cases():
    for name in mitigations.names():
        for kind in KINDS:
            if not (needs_convolutions(mitigations.resolve(name)) and kind in TOO_SMALL_FOR_LENET):
                yield pytest.param(name, kind, id=f"{name}-{kind}")


@pytest.mark.parametrize(("name", "kind"), list(cases()))
@pytest.mark.slow
def test_two_steps_then_saved_and_loaded(name, kind):
    mitigation, draw = mitigations.resolve(name), draw_of(kind)
    network = networks.resolve("lenet" if needs_convolutions(mitigation) else {"name": "mlp", "hidden": [6]})
    if mitigation.obstacle(draw, network.build(draw, 0)):
        assert mitigation.needs_minority or "twins" in mitigation.needs
        assert kind != "grey, with a minority"
        return
    strengths = torch.tensor([[0.0, 0.01]] if mitigation.has_strength else [[0.0]])
    trainer = Trainer(network, [draw], Training(epochs=1, batch_size=BATCH), strengths, device=torch.device("cpu"))
    fitted = mitigation.fit(trainer)
    before = dict(trainer.modules[0].named_parameters())
    own = {part: fitted.parameters[part][0, -1] for part in before}
    assert all(torch.isfinite(values).all() for values in own.values())
    assert any(not torch.equal(own[part], before[part]) for part in before)

    file = io.BytesIO()
    torch.save(own, file)
    file.seek(0)
    module = network.build(draw, 1)
    module.load_state_dict(torch.load(file, weights_only=True), strict=False)
    inputs = draw.test("aligned").batch().inputs
    torch.testing.assert_close(bound(module)(inputs), Net(trainer.modules[0], own)(inputs))
