"""The parts and attributes of a module, as text that changes with them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping

import torch
from torch import Tensor, nn

ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def structure(module: nn.Module) -> str:
    """A module without its parameters and buffers: its layers, and the attributes of all of its parts."""
    return f"{module} {attributes(module)}"


def attributes(module: nn.Module) -> dict[str, str]:
    """The attributes of every part of a module beside parameters and buffers."""
    usual, own = vars(nn.Module()).keys(), set(module.parameters())

    def text(value: object) -> str:
        match value:
            case nn.Parameter() if value in own:
                return f"a parameter {tuple(value.shape)}"
            case Tensor():
                numbers = value.detach().flatten().double()
                return f"{tuple(value.shape)} {float(numbers @ torch.linspace(1, 2, len(numbers)).to(numbers))!r}"
            case Mapping():
                return str({str(key): text(one) for key, one in value.items()})
            case list() | tuple() | deque():
                return str([text(one) for one in value])
        return ADDRESS.sub("", repr(value))

    return {
        f"{name or 'the module'}.{key}": text(value)
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if key not in usual
    }


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The first attribute whose text is another; empty if none is."""
    return next((name for name, value in now.items() if before.get(name) != value), "")
