"""Which way a stack is trained, and how `auto` finds the fastest."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, get_args

Plan = Literal["stacked", "compiled", "single"]
"""`stacked`: vmapped over seeds and strengths; `compiled`: stacked, by torch.compile; `single`: run after run."""
PLANS: tuple[Plan, ...] = get_args(Plan)
Engine = Literal["auto"] | Plan
"""A plan, or `auto` for the plan that a trial of a few steps finds fastest."""

COMPILE_FROM = 120.0
"""Expected seconds of training from which the half minute that compiling takes is worth a trial."""

CONVOLUTIONS_ALONE = 2e-3
"""Seconds of a run's step on a CPU from which convolutions are not stacked: PyTorch computes a stack of them as one
grouped convolution, which takes 1.3 to 2.4 times as long as the runs alone (docs/scaling.md)."""


def fastest(
    seconds: Callable[[Plan], float],
    runs: int,
    steps: float,
    unstackable: Callable[[str], object],
    convolves_on_cpu: bool,
) -> Plan:
    """The plan with the fastest step.

    Args:
        seconds: the wall seconds of a step of all runs under a plan, measured.
        steps: steps of the whole training. `compiled` is tried only where the training is expected to last.
        unstackable: called with the reason where runs cannot be stacked, but can be trained one by one.
        convolves_on_cpu: a stack is not tried where a run alone keeps the CPU busy.
    """
    if convolves_on_cpu and seconds("single") > runs * CONVOLUTIONS_ALONE:
        return "single"
    try:
        took: dict[Plan, float] = {"stacked": seconds("stacked")}
    except RuntimeError as error:  # torch's, where a network branches on values, or writes into tensors of its own
        seconds("single")  # raises where the network is wrong in itself
        unstackable(str(error).strip().splitlines()[0])
        return "single"
    took["single"] = seconds("single")
    if took["stacked"] <= took["single"] and steps * took["stacked"] > COMPILE_FROM:
        with suppress(RuntimeError):  # torch's errors where there is no C++ compiler, or too little memory
            took["compiled"] = seconds("compiled")
    return min(took, key=took.__getitem__)


_SAID: set[str] = set()


def run_by_run(network: str, why: str) -> None:
    """Says, once for each network, that its runs are trained one after another, which takes longer."""
    if network in _SAID:
        return
    _SAID.add(network)
    logging.getLogger(__name__).warning(
        "%s is trained run by run, because its runs cannot be stacked: %s", network, why
    )
