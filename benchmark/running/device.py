"""The device on which stacks are trained."""

from __future__ import annotations

from typing import Literal

Device = Literal["auto", "cpu", "cuda"]


def torch_device(device: Device) -> str:
    """The device as torch names it; `auto` is a GPU if there is one.

    Raises:
        ValueError: there is no such device.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda: torch sees no CUDA device; use cpu")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device != "cpu":
        raise ValueError(f"device {device!r} is not known: use auto, cpu or cuda")
    return device
