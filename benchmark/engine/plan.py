"""Which way a stack is trained, and how `auto` finds the fastest."""

from __future__ import annotations

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


def fastest(seconds: Callable[[Plan], float], steps: float) -> Plan:
    """The plan with the fastest step.

    Args:
        seconds: the wall seconds of a step of all runs under a plan, measured.
        steps: steps of the whole training. `compiled` is tried only where the training is expected to last.
    """
    took: dict[Plan, float] = {"stacked": seconds("stacked"), "single": seconds("single")}
    if took["stacked"] <= took["single"] and steps * took["stacked"] > COMPILE_FROM:
        with suppress(RuntimeError):  # torch's errors where there is no C++ compiler, or too little memory
            took["compiled"] = seconds("compiled")
    return min(took, key=took.__getitem__)
