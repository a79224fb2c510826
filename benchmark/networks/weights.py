"""Weights from a file: read without running code, known by content, and complete but for a head of another size."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...datasets.files import sha256, stamp_of
from .not_trainable import NotTrainable

log = logging.getLogger(__name__)
SHOWN = 3
"""Names that an error lists."""
_SAID: set[str] = set()


class BadWeights(NotTrainable):
    """A file of weights that does not fit the network; the message names the file, the entries, and the way out."""


def digest(path: str, expected: str = "") -> str:
    """SHA-256 of a file of weights, which must be the expected one if one is expected.

    A file that is not there needs an expected digest: its finished runs can be shown, but nothing can be trained.

    Raises:
        BadWeights: there is no such file, or it has another content.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        if expected:
            return expected
        raise BadWeights(f"weights = {path!r}: there is no such file: give the path of a state dict (torch.save)")
    found = sha256(stamp_of(file))
    if expected and found != expected:
        raise BadWeights(
            f"{path}: its SHA-256 is {found[:12]}…, and {expected[:12]}… was asked for: put that file back, or take "
            "weights_sha256 out of the suite for another network with other runs"
        )
    return found


def read(path: str, expected: str) -> dict[str, Tensor]:
    """The state dict in a file whose digest is the expected one.

    Raises:
        BadWeights: the file is gone or has another content, or holds something else than tensors by name.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise BadWeights(f"weights = {path!r}: there is no such file on this machine: copy it there")
    digest(path, expected)
    advice = "save the state dict alone: torch.save(model.state_dict(), path)"
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadWeights(f"{path} holds more than tensors, or is no file of torch.save ({reason}): {advice}") from error
    if not isinstance(state, Mapping) or not state:
        raise BadWeights(f"{path} holds a {type(state).__name__}, not tensors by name: {advice}")
    if wrong := [str(name) for name, value in state.items() if not isinstance(value, Tensor)]:
        raise BadWeights(f"{path} holds {_listed(wrong)} beside or around tensors: {advice}")
    return _without_prefix(dict(state))


def fill(namings: Sequence[Mapping[str, Tensor]], state: Mapping[str, Tensor], head: nn.Module, origin: str) -> None:
    """Copies a state dict into a network's tensors: complete, but for a head of another number of classes.

    Args:
        namings: the network's tensors under the names of its author, and under ours; the file may have either.
        head: stays as it was initialised where the file has a head for other classes, which is said.
        origin: what the weights are of, for errors.

    Raises:
        BadWeights: the file lacks tensors, has further ones, or tensors of other shapes.
    """
    tensors = max(namings, key=lambda naming: len(naming.keys() & state.keys()))
    own = {id(value) for value in head.parameters()}
    heads = {name for name, value in tensors.items() if id(value) in own}
    if lacks := [n for n in tensors if n not in state and not n.endswith("num_batches_tracked") and n not in heads]:
        raise BadWeights(f"{origin} lacks {_listed(lacks)}: is it a state dict of this network?")
    if more := [name for name in state if name not in tensors]:
        raise BadWeights(f"{origin} has {_listed(more)}, and the network has not: is it its state dict?")
    other = {name for name, value in tensors.items() if name in state and state[name].shape != value.shape}
    if wrong := sorted(other - heads):
        shapes = [f"{name} {tuple(state[name].shape)} for {tuple(tensors[name].shape)}" for name in wrong]
        raise BadWeights(f"{origin} has other shapes: {_listed(shapes)}. Were inputs of another size, see `size`?")
    if anew := other & heads or heads - state.keys():
        _say_once(f"{origin}: {', '.join(sorted(anew))} is of other classes or missing: the whole head is made anew")
    with torch.no_grad():
        for name, value in tensors.items():
            if name in state and not (anew and name in heads):
                value.copy_(state[name])


def _without_prefix(state: dict[str, Any]) -> dict[str, Tensor]:
    """Without the `module.` that DataParallel puts before every name."""
    prefix = "module."
    return {n.removeprefix(prefix): v for n, v in state.items()} if all(n.startswith(prefix) for n in state) else state


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _say_once(what: str) -> None:
    if what not in _SAID:
        _SAID.add(what)
        log.warning("%s", what)
