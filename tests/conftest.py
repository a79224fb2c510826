"""Tests import the helpers that stand beside this file, and check the package's shapes as they run."""

import signal
import sys
from pathlib import Path

import jaxtyping
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import shapes

jaxtyping.jaxtyped = shapes.jaxtyped  # which the hook adds to every function of the package
jaxtyping.install_import_hook("rrrbench", "shapes.check")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background jobs ignore Ctrl-C, and so do theirs
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def shapes_unchecked(monkeypatch):
    """For a test that passes wrong arguments on purpose: it sees the error that a user sees, who has no checker."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def pretend(monkeypatch):
    """The name of a device that needs no hardware and refuses what CUDA refuses."""
    from pretend_device import registered  # with torch's tracing, which few tests need

    return registered(monkeypatch)
