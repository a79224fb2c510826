"""The laws of a metric: what it measures has its name, is in its range, and is one number a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real

import torch
from torch import Tensor

from ...methods.mitigations.rrr import RRR
from ..metrics.base import Metric, metrics
from ..metrics.evaluated import Evaluated
from ..metrics.evaluation import evaluated_networks
from ..suite.loading import parse_suite
from ..suite.stack import MitigationStack
from .small import small_trainer
from .violation import require


def every_number_has_its_name_and_is_in_its_range(metric: Metric) -> None:
    """1: numbers by ids that the function is registered for, one for all networks or one for each, in range or NaN."""
    require(metric.low < metric.high, f"its range [{metric.low}, {metric.high}] is empty")
    if metric.measure is None:
        return
    evaluated = _evaluated()
    measured = metric.measure(evaluated)
    require(isinstance(measured, Mapping), f"its function gives a {type(measured).__name__}: give a dict, number by id")
    own = {name: value for name, value in measured.items() if metric.names(name)}
    require(bool(own), f"its function measures no {metric.id} of a small trained network")
    foreign = metrics.not_of(metric.measure, measured)
    require(not foreign, foreign)
    defined = False
    for name, value in own.items():
        require(
            isinstance(value, Tensor | Real) and not isinstance(value, bool),
            f"{name} is a {type(value).__name__}: give a tensor of a number a network, or a float for all",
        )
        numbers = torch.as_tensor(value, dtype=torch.float64)
        shape = tuple(numbers.shape)
        require(numbers.dim() == 0 or shape == (len(evaluated.networks),), f"{name} has shape {shape}: one a network")
        known = numbers[~numbers.isnan()]
        defined = defined or bool(len(known))
        outside = known[(known < metric.low) | (known > metric.high)]
        first = outside.flatten()[:1].tolist()
        require(not first, f"{name} is {first}, outside its range [{metric.low}, {metric.high}]")
    require(defined, f"{', '.join(own)} is NaN for each of {len(evaluated.networks)} small trained networks")


def measuring_again_gives_the_same(metric: Metric) -> None:
    """2: the same networks have the same numbers a second time; the global random state stays."""
    if metric.measure is None:
        return
    evaluated, state = _evaluated(), torch.get_rng_state()
    first, second = metric.measure(evaluated), metric.measure(evaluated)
    require(
        torch.equal(state, torch.get_rng_state()), "the global random state moved: draw from a generator of your own"
    )
    for name, value in first.items():
        require(_equal(value, second[name]), f"{name} is another number the second time")


def _equal(one: Tensor | float, other: Tensor | float) -> bool:
    return torch.equal(torch.as_tensor(one).nan_to_num(-1), torch.as_tensor(other).nan_to_num(-1))


def _evaluated() -> Evaluated:
    """A small network, trained by RRR at two strengths, as metrics see it."""
    trainer = small_trainer(seeds=(0,), dtype=torch.float32)
    sweep = {
        "dataset": {"name": "decoy", "base": "digits"},
        "network": {"name": "mlp"},
        "mitigations": [{"mitigation": "rrr", "strengths": [0.0, 0.5]}],
    }
    stacks = parse_suite({"name": "metric", "seeds": [0], "sweeps": [sweep]}, "metric").stacks()
    (stack,) = (stack for stack in stacks if isinstance(stack, MitigationStack) and stack.mitigation.name == "rrr")
    return evaluated_networks(stack, trainer, RRR().fit(trainer), 1.0, 0, range(2))


def laws() -> dict[str, Callable[[Metric], None]]:
    """The laws of a metric, by title."""
    return {
        "1 every number has its name and is in its range": every_number_has_its_name_and_is_in_its_range,
        "2 measuring again gives the same": measuring_again_gives_the_same,
    }
