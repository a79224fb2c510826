"""What the engine asks of a GPU beside arithmetic: to be done, and to compute as exactly as the settings say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from ..suite.training import Precision

_CUDNN: Any = torch.backends.cudnn
_MKLDNN: Any = torch.backends.mkldnn
PRODUCTS: tuple[Any, ...] = (torch.backends.cuda.matmul, _CUDNN.conv, _CUDNN.rnn)
"""Kinds of a GPU's kernels that may round float32 factors to TF32, each with its own setting."""
ON_CPU: tuple[Any, ...] = (_MKLDNN.matmul, _MKLDNN.conv, _MKLDNN.rnn)
"""Kinds of a CPU's kernels that may round float32 factors, after `torch.set_float32_matmul_precision("medium")`."""


def synchronize(device: torch.device) -> None:
    """Waits until the device has done all that it was given, so that a clock reads its work; a CPU always has.

    The device is named, because torch would take the process's current GPU, which need not be the one that trains.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)


clock = time.perf_counter
"""The clock for timing calls."""


@contextmanager
def own_seconds(device: str) -> Iterator[None]:
    """Calls on a CPU are timed by the seconds that this thread has a core: what else the machine does counts little.

    A GPU's work is not the thread's: there the clock stays the wall's.

    Args:
        device: in torch's words, or another word for a device that is elsewhere.
    """
    global clock
    before = clock
    try:
        if device == "cpu":
            clock = time.thread_time
        yield
    finally:
        clock = before


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
    """Products and convolutions of float32 tensors with all 23 bits of the mantissa; on a GPU, `tf32` has 10 bits.

    torch's default on a GPU is 10 bits for convolutions and 23 for products, and a program that uses rrrbench may have
    set less, on a CPU too. Afterwards the process's settings are as before.
    """
    kinds, older = [*PRODUCTS, *ON_CPU], _older_settings()
    before = [kind.fp32_precision for kind in kinds]
    tf32 = precision == "tf32"
    try:
        _set(["tf32" if tf32 else "ieee"] * len(PRODUCTS) + ["ieee"] * len(ON_CPU), "high" if tf32 else "highest", tf32)
        yield
    finally:
        _set(before, *older)


def _older_settings() -> tuple[str, bool]:
    """torch's settings of before there were `PRODUCTS`; where they contradict each other, as `PRODUCTS` say."""
    products, convolutions, _ = (kind.fp32_precision for kind in PRODUCTS)
    try:
        matmul = torch.get_float32_matmul_precision()
    except RuntimeError:
        matmul = "high" if products == "tf32" else "highest"
    try:
        return matmul, _CUDNN.allow_tf32
    except RuntimeError:
        return matmul, convolutions == "tf32"


def _set(precisions: Iterable[str], matmul: str, allow_tf32: bool) -> None:
    """Sets the older settings too, which `torch.backends.cudnn.flags` reads: torch raises where they contradict."""
    torch.set_float32_matmul_precision(matmul)
    _CUDNN.allow_tf32 = allow_tf32
    for kind, value in zip([*PRODUCTS, *ON_CPU], precisions, strict=True):
        kind.fp32_precision = value
