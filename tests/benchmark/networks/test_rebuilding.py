"""A network of a seed is the same, whatever the process built before."""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from typing import ClassVar

import numpy as np
import pytest
import torch
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.networks.base import NetworkRecipe
from rrrbench.benchmark.networks.check import check
from rrrbench.benchmark.networks.not_trainable import NotTrainable
from small import small_dataset
from torch import nn


def with_head(head, *, before=None):
    layers = OrderedDict(flatten=nn.Flatten(), hidden=before or nn.Linear(36, 6), relu=nn.ReLU())
    return layers, head()


def cached(make):
    return lru_cache(make)


def kept_layer():
    head = cached(lambda: nn.Linear(6, 3))
    return lambda: with_head(head)


def kept_first_layer():
    hidden = cached(lambda: nn.Linear(36, 6))
    return lambda: with_head(lambda: nn.Linear(6, 3), before=hidden())


def kept_values(before: bool):
    """A layer that begins with a copy of values drawn once, the first or the last draws of the network."""
    values = cached(lambda outputs, inputs: torch.randn(outputs, inputs))

    def layer(inputs, outputs):
        linear = nn.utils.skip_init(nn.Linear, inputs, outputs)
        linear.weight = nn.Parameter(values(outputs, inputs).clone())
        nn.init.zeros_(linear.bias)
        return linear

    if before:
        return lambda: with_head(lambda: nn.Linear(6, 3), before=layer(36, 6))
    return lambda: with_head(lambda: layer(6, 3))


def of_the_file():
    weight = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))

    def head():
        linear = nn.Linear(6, 3)
        linear.weight = nn.Parameter(weight)
        return linear

    return lambda: with_head(head)


def of_numpy():
    def head():
        linear = nn.Linear(6, 3)
        linear.weight = nn.Parameter(torch.from_numpy(np.random.standard_normal((3, 6)).astype(np.float32)))  # noqa: NPY002
        return linear

    return lambda: with_head(head)


def counted():
    seen = []

    def head():
        linear = nn.Linear(6, 3)
        seen.append(0)
        nn.init.constant_(linear.bias, float(len(seen)))
        return linear

    return lambda: with_head(head)


KEPT = {
    "a cached last layer": (kept_layer, r"parameter head\.weight is one tensor in the networks of two seeds"),
    "a cached first layer": (kept_first_layer, r"features\.hidden\.weight is one tensor"),
    "a copy of values drawn first": (lambda: kept_values(True), r"head\.weight of a seed depends on what was built"),
    "a copy of values drawn last": (lambda: kept_values(False), r"it draws \d tensors instead of \d: some are kept"),
    "a tensor of the file": (of_the_file, r"parameter head\.weight is one tensor"),
    "NumPy's global generator": (of_numpy, r"head\.weight of a seed depends on what was built before"),
    "a counter of networks": (counted, r"head\.bias of a seed depends on what was built before"),
}


def recipe(made) -> NetworkRecipe:
    class Kept(NetworkRecipe):
        name: ClassVar[str] = "kept"

        def layers(self, features, classes):
            return made()

    return Kept()


@pytest.mark.parametrize(("kind", "message"), KEPT.values(), ids=KEPT)
def test_a_network_that_depends_on_what_was_built_before_is_refused_with_the_way_out(kind, message):
    network, before = recipe(kind()), np.random.get_state()  # noqa: NPY002
    for _ in range(2):  # a cache shows only once
        with pytest.raises(NotTrainable, match=f"network kept cannot be trained as it is: .*{message}.* anew in each"):
            check(network, small_dataset())
    np.random.set_state(before)  # noqa: NPY002


def test_constants_and_frozen_parameters_may_be_shared():
    mean, basis = torch.ones(36), torch.eye(36)

    class Centred(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", mean)
            self.basis = nn.Parameter(basis, requires_grad=False)

        def forward(self, inputs):
            return (inputs.flatten(1) - self.mean) @ self.basis

    check(recipe(lambda: (OrderedDict(centred=Centred(), hidden=nn.Linear(36, 6)), nn.Linear(6, 3))), small_dataset())


@pytest.mark.parametrize("name", ["mlp", "softmax_mlp"])
def test_ours_pass(name):
    check(networks.resolve(name), small_dataset())
