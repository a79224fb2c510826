"""What the engine asks of a GPU beside arithmetic: to be done, and to compute as exactly as the settings say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from ..suite.training import Precision

_CUDNN: Any = torch.backends.cudnn
PRODUCTS: tuple[Any, ...] = (torch.backends.cuda.matmul, _CUDNN.conv, _CUDNN.rnn)
"""Kinds of kernels that may round float32 factors to TF32, each with its own setting."""


def synchronize(device: torch.device) -> None:
    """Waits until the device has done all that it was given, so that a clock reads its work; a CPU always has.

    The device is named, because torch would take the process's current GPU, which need not be the one that trains.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)


clock = time.perf_counter
"""The clock for timing calls. On a busy machine, `time.process_time` gives the seconds of this process alone."""


def seconds_of(function: Callable[[], object], device: torch.device) -> float:
    """Seconds of a call, until the device has done what it was asked for."""
    start = clock()
    function()
    synchronize(device)
    return clock() - start


@contextmanager
def training_precision(precision: Precision, device: torch.device) -> Iterator[None]:
    """Products and convolutions as `Training.precision` says; afterwards the process's settings are as before.

    `bf16` is torch's autocast: factors are rounded to bfloat16, with 7 bits of the mantissa. Parameters, their updates
    and the logits of `Net` stay in float32.
    """
    rounded = torch.autocast(device.type, torch.bfloat16, cache_enabled=False) if precision == "bf16" else nullcontext()
    with float32_products(precision), rounded:
        yield


@contextmanager
def float32_products(precision: Precision = "float32") -> Iterator[None]:
    """Products and convolutions of float32 tensors on a GPU: with all 23 bits of the mantissa, or `tf32` with 10 bits.

    torch's default is 10 bits for convolutions and 23 for products. Afterwards the process's settings are as before.
    """
    before = [kind.fp32_precision for kind in PRODUCTS]
    try:
        for kind in PRODUCTS:
            kind.fp32_precision = "tf32" if precision == "tf32" else "ieee"
        yield
    finally:
        for kind, value in zip(PRODUCTS, before, strict=True):
            kind.fp32_precision = value
