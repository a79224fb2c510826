"""Tests import the helpers that stand beside this file, and check the package's shapes as they run."""

import sys
from pathlib import Path

import jaxtyping
import pytest

sys.path.insert(0, str(Path(__file__).parent))
jaxtyping.install_import_hook("rrrbench", "shapes.check")


@pytest.fixture
def shapes_unchecked(monkeypatch):
    """For a test that passes wrong arguments on purpose: it sees the error that a user sees, who has no checker."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
