"""A network that was trained already, and uses the shortcut: where a repair begins."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import BeforeValidator, Field, InstanceOf, field_serializer, model_validator
from torch.nn import functional as F

from ...datasets.base import ShortcutDataset, generator
from .base import Network, NetworkRecipe, networks
from .check import check


@networks.register
class AfterERM(NetworkRecipe):
    """Another network after plain ERM on all training inputs, without masks: every mitigation then repairs it.

    Each seed trains a checkpoint of its own, by Adam on shuffled batches of the seed's training inputs, the same for
    all mitigations and strengths. A stage of a mitigation that begins anew begins from the checkpoint.
    """

    name: ClassVar[str] = "after_erm"

    network: Annotated[
        InstanceOf[NetworkRecipe],
        BeforeValidator(networks.resolve),
        Field(description="as a suite names it"),
    ]
    epochs: Annotated[int, Field(ge=1)] = 40
    batch_size: Annotated[int, Field(ge=1)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 0.01

    @model_validator(mode="after")
    def _range_of_the_network(self) -> Self:
        if self.pixel_range != "unit":
            raise ValueError("pixel_range is the inner network's: give it there")
        return self

    @field_serializer("network")
    def _resolved(self, network: NetworkRecipe) -> dict[str, Any]:
        return network.resolved()

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), "network": self.network.identity()}

    def shown(self) -> dict[str, Any]:
        return {**super().shown(), "network": self.network.id}

    def gives_probabilities(self) -> bool:
        return self.network.gives_probabilities()

    def untrained(self, dataset: ShortcutDataset, seed: int) -> Network:
        return self.network.untrained(dataset, seed)

    def build(self, dataset: ShortcutDataset, seed: int) -> Network:
        return copy.deepcopy(_checkpoint(self, _Draw(dataset), seed))


class _Draw:
    """A dataset as a key of a cache: equal to every draw of equal content."""

    def __init__(self, dataset: ShortcutDataset) -> None:
        self.dataset = dataset

    def __hash__(self) -> int:
        return hash(self.dataset.digest())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Draw) and self.dataset.digest() == other.dataset.digest()


@lru_cache(maxsize=16)
def _checkpoint(recipe: AfterERM, draw: _Draw, seed: int) -> Network:
    """Trains the network of a seed: a plain PyTorch loop, whose draws are the seed's alone.

    Raises:
        NotTrainable: as `check` says of the inner network.
    """
    dataset = draw.dataset
    check(recipe.network, dataset, recipe.batch_size)
    network = recipe.network.build(dataset, seed)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], recipe.learning_rate)
    order = torch.Generator().manual_seed(int(generator(seed, "after_erm/order").integers(2**63)))
    with torch.enable_grad():
        for _ in range(recipe.epochs):
            for rows in torch.randperm(len(dataset.train), generator=order).split(recipe.batch_size):
                batch = dataset.train.batch(rows)
                optimizer.zero_grad()
                F.cross_entropy(network(batch.inputs), batch.labels).backward()
                optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return network
