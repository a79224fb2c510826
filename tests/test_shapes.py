"""Annotated shapes are checked while tests run (`conftest.py` installs the checker)."""

from __future__ import annotations

import random
import sys

import pytest
import torch
from jaxtyping import TypeCheckError
from rrrbench.datasets.base import ShortcutDataset
from rrrbench.methods.base import mitigations, true_class
from rrrbench.methods.gradients import reversed_gradient
from small import small_split

FOUND_BY_THE_INSTALLATION = {"rrrbench", "rrrbench.benchmark", "rrrbench.datasets", "rrrbench.methods"}
"""Packages that no path has: their own finder loads the four `__init__.py`, past the import hook."""


def test_an_argument_of_a_wrong_shape_is_refused():
    labels = torch.tensor([0, 2])
    assert true_class(labels, 3).shape == (2, 3)
    with pytest.raises(TypeCheckError, match="labels"):
        true_class(labels[:, None], 3)  # broadcasts to (2, 1, 3), silently
    with pytest.raises(TypeCheckError, match="values"):
        reversed_gradient(labels)  # of integers


def test_a_field_of_a_wrong_shape_is_refused():
    split = small_split(0, "train", "aligned")
    with pytest.raises(TypeCheckError, match="class_shortcuts"):
        ShortcutDataset("x", 0, torch.zeros(2, 2, dtype=torch.long), split, split, {})


def test_every_module_of_the_package_is_checked():
    mitigations.names()  # imports them
    ours = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "rrrbench"}
    loaders = {name: type(module.__spec__.loader).__name__ for name, module in ours.items() if module.__spec__}
    assert len(loaders) > 50
    assert {name for name, loader in loaders.items() if loader != "_JaxtypingLoader"} == FOUND_BY_THE_INSTALLATION


def test_checking_draws_nothing():
    before = random.getstate()
    true_class(torch.tensor([0, 2]), 3)
    assert random.getstate() == before
