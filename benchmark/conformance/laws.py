"""The five laws of a mitigation (docs/design.md): each law is a function that raises `Violation` with what it measured.

Laws train on 24 inputs, in float64 where numbers are compared, and take seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...methods.base import Mitigation
from ...methods.fitting import Fitted
from ...methods.mitigations.erm import ERM
from ...methods.network import Net
from ..engine.plan import Engine
from ..networks import NetworkRecipe
from .small import small_dataset, small_network, small_trainer, trainer_for, without_masks
from .violation import require, same_numbers

_FIRST = "law 5 does not hold either, look there first: "
_BY_ARGUMENTS = (
    "compute `terms` from its arguments alone: keep nothing from step to step, draw in `augment` from its `generator`, "
    "and branch on no value"
)


class Trained(NamedTuple):
    """A small stack at strengths 0 and 0.5, in float32, and what its training left changed.

    Attributes:
        erm: the same stack, trained by ERM.
        changed: why a law about global state does not hold; empty if it holds.
    """

    fitted: Fitted
    erm: Fitted
    changed: str


@cache  # three laws look at it
def trained(mitigation: Mitigation, engine: Engine = "stacked") -> Trained:
    """Trains the small stack of a mitigation, once in a process."""
    trainer = trainer_for(mitigation, engine=engine, dtype=torch.float32)
    modes, before = [module.training for module in trainer.modules], torch.get_rng_state()
    fitted, changed = mitigation.fit(trainer), ""
    if not torch.equal(before, torch.get_rng_state()):
        changed = "the global random state moved: draw in augment, from its `generator` argument"
    elif [module.training for module in trainer.modules] != modes:
        changed = "a module's training mode changed"
    elif any(parameter.grad is not None for module in trainer.modules for parameter in module.parameters()):
        changed = "a module's parameters have a .grad: use torch.func, not .backward()"
    return Trained(fitted, _erm(trainer.network, mitigation.needs_minority, engine), changed)


@cache
def _erm(network: NetworkRecipe, minority: bool, engine: Engine) -> Fitted:
    correlation = 0.5 if minority else 1.0
    trainer = small_trainer(network=network, correlation=correlation, engine=engine, dtype=torch.float32)
    return ERM().fit(trainer)


def strength_0_is_erm(mitigation: Mitigation, engine: Engine = "stacked") -> None:
    """1: strength 0 is ERM, bit for bit; strength 0.5 is not."""
    fitted, erm, changed = trained(mitigation, engine)
    why = f"{_FIRST}{changed}" if changed else "is the term multiplied by the strength?"
    require(
        _same_bits(fitted.parameters, erm.parameters, slice(0, 1)),
        f"at strength 0 the trained parameters are not ERM's, bit for bit: {why}",
    )
    require(
        mitigation.degenerate or not _same_bits(fitted.parameters, erm.parameters, slice(1, 2)),
        "at strength 0.5 the trained parameters are ERM's: the right-reason term does nothing",
    )


def an_empty_mask_is_erm(mitigation: Mitigation) -> None:
    """1, for mitigations that need masks or core masks only: without them, training is ERM, bit for bit."""
    draws, network = [without_masks(small_dataset(seed)) for seed in (0, 1)], small_network(mitigation)
    fitted = mitigation.fit(small_trainer(draws=draws, network=network, dtype=torch.float32))
    changed = trained(mitigation).changed
    why = f"{_FIRST}{changed}" if changed else "the term must vanish outside the masks"
    require(
        _same_bits(fitted.parameters, _erm(network, False, "stacked").parameters, slice(None)),  # looks at no mask
        f"where no input has a mask the trained parameters are not ERM's: {why}",
    )


def the_right_reason_term_is_alive(mitigation: Mitigation) -> None:
    """2: at strength > 0 the right-reason term moves the parameters, and at 0 it does not."""
    liveness = trained(mitigation).fitted.liveness
    for when in ("start", "middle", "end"):
        at_zero, at_half = liveness[when][:, 0], liveness[when][:, 1]
        require(bool((at_zero == 0).all()), f"at strength 0 the right-reason term has a gradient ({when})")
        require(
            bool((at_half > 0).all()),
            f"the right-reason term's gradient is zero at strength 0.5 ({when}): is it detached, or constant?",
        )


def the_batch_size_does_not_matter(mitigation: Mitigation) -> None:
    """3: the terms of a batch are the mean of the terms of its three thirds."""
    trainer = trainer_for(mitigation)
    module, coins = trainer.modules[0], torch.Generator().manual_seed(1)
    own = {name: value.double() for name, value in mitigation.parameters(module, trainer.draws[0]).items()}
    net = Net(module, {**dict(module.named_parameters()), **own})
    batch = trainer.train_data.batch(slice(0, 24), torch.float64).of_seed(0)
    batch = batch._replace(draws={name: torch.rand(24, generator=coins).round() for name in mitigation.carries})
    batch = mitigation.augment(batch, 3, torch.Generator().manual_seed(0))
    strength = torch.tensor(0.5, dtype=torch.float64)

    def terms(rows: slice) -> Tensor:
        part = batch._replace(
            inputs=batch.inputs[rows],
            labels=batch.labels[rows],
            masks=batch.masks[rows],
            shortcuts=batch.shortcuts[rows],
            draws={name: drawn[rows] for name, drawn in batch.draws.items()},
            core=None if batch.core is None else batch.core[rows],
        )
        return torch.stack(mitigation.terms(net, part, strength))

    thirds = torch.stack([terms(slice(start, start + 8)) for start in (0, 8, 16)])
    same_numbers(
        thirds.mean(0),
        terms(slice(0, 24)),
        1e-12,
        1e-15,
        "the mean terms of three times 8 inputs, and the terms of all 24,",
        "let a term be a mean over inputs, each by itself: no sum, no maximum, no statistics of the batch",
    )


def stacked_or_alone(mitigation: Mitigation, pixel_range: Any = "unit") -> None:
    """4: the same run gives the same numbers in a stack and alone."""
    strengths = (0.0, 0.01, 0.1) if mitigation.has_strength else (0.0,)
    stacked, single = (
        mitigation.fit(trainer_for(mitigation, strengths, pixel_range=pixel_range, engine=engine, epochs=1))
        for engine in ("stacked", "single")
    )
    for name, value in stacked.parameters.items():
        subject = f"the parameters {name}, trained in a stack and alone,"
        same_numbers(value, single.parameters[name], 1e-7, 1e-9, subject, _BY_ARGUMENTS)
    for name, curve in stacked.curves.items():
        subject = f"the curves of {name}, in a stack and alone,"
        same_numbers(curve, single.curves[name], 1e-7, 1e-9, subject, _BY_ARGUMENTS)


def nothing_global_changes(mitigation: Mitigation) -> None:
    """5: training leaves the modules' modes and gradients and the global random state unchanged."""
    changed = trained(mitigation).changed
    require(not changed, changed)


def laws(mitigation: Mitigation) -> dict[str, Callable[[Mitigation], None]]:
    """Lists the laws that apply to a mitigation, by title."""
    named: dict[str, Callable[[Mitigation], None]] = {}
    if mitigation.has_strength:
        named["1 strength 0 is ERM, bit for bit"] = strength_0_is_erm
    if mitigation.needs and mitigation.needs <= {"masks", "core"}:
        named["1 an empty mask is ERM, bit for bit"] = an_empty_mask_is_erm
    if mitigation.has_strength and not mitigation.degenerate:
        named["2 the right-reason term is alive"] = the_right_reason_term_is_alive
    return named | {
        "3 the batch size does not matter": the_batch_size_does_not_matter,
        "4 stacked or alone, the same numbers": stacked_or_alone,
        "5 nothing global changes": nothing_global_changes,
    }


def _same_bits(a: Mapping[str, Tensor], b: Mapping[str, Tensor], columns: slice) -> bool:
    return all(torch.equal(a[name][:, columns], b[name][:, columns]) for name in a)
