"""The identity of an evaluation: the network and the data, from which its record has its keys and names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...datasets.base import ShortcutDataset
from ...datasets.recipe import Recipe
from ...methods.explainers.base import ForwardFunction
from ..metrics.evaluated import Evaluated
from ..store.record import Record
from ..suite.protocol import PROTOCOL_VERSION
from ..suite.stack import dataset_key, sha256

ELSEWHERE = "trained elsewhere"
"""What stands in a table in place of a mitigation."""


@dataclass(frozen=True)
class Identity:
    """A network and the data on which it was evaluated.

    Attributes:
        kind: the network's class or the function's name.
        digest: SHA-256 of the network's parameters and buffers, or, of a function, of its predictions.
        dataset: what the data are made from, as a record has it.
        dataset_key: of the draw, as the records of sweeps have it.
    """

    name: str
    kind: str
    digest: str
    dataset_id: str
    dataset: dict[str, Any]
    dataset_key: str
    data_digest: str
    seed: int

    def record(self, metrics: dict[str, float], flips: list[tuple[int, int, int]]) -> Record:
        """The record of the evaluation; records of one name and dataset are the seeds of one row."""
        compared = {"protocol": PROTOCOL_VERSION, "dataset": self.dataset, "evaluated": self.name}
        network = {"name": self.name, "class": self.kind, "sha256": self.digest}
        return Record(
            run_key=sha256({**compared, "seed": self.seed}),
            sweep_key=sha256(compared),
            dataset=self.dataset_id,
            network=self.name,
            training="",
            mitigation=ELSEWHERE,
            strength=0.0,
            seed=self.seed,
            needs="",
            degenerate=False,
            status="evaluated",
            configuration={
                "protocol": PROTOCOL_VERSION,
                "dataset": self.dataset,
                "network": network,
                "training": {},
                "seed": self.seed,
            },
            dataset_key=self.dataset_key,
            digest=self.data_digest,
            metrics=metrics,
            flips=flips,
        )


def identity_of(
    model: ForwardFunction, name: str | None, recipe: Recipe | None, draw: ShortcutDataset, evaluated: Evaluated
) -> Identity:
    """The identity of a network that was just evaluated. A draw without its recipe is known by its content."""
    kind = getattr(model, "__name__", type(model).__name__)
    if recipe is None:
        content = {"name": draw.id, "sha256": draw.digest()}
        known = (draw.id, content, sha256(content))
    else:
        recipe = recipe.with_masks()
        known = (recipe.id, recipe.resolved(), dataset_key(recipe, draw.seed))
    return Identity(name or kind, kind, _digest(model, evaluated), *known, draw.digest(), draw.seed)


def _digest(model: ForwardFunction, evaluated: Evaluated) -> str:
    sha = hashlib.sha256()
    tensors = model.state_dict() if isinstance(model, nn.Module) else {}
    if not tensors:
        tensors = dict(evaluated.predictions)
    for name, value in sorted(tensors.items()):
        if isinstance(value, torch.Tensor):
            sha.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
            sha.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
