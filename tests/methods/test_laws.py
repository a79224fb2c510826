"""DESIGN's five laws, over every mitigation in the registry: a new one is tested by being there."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from rrrbench.benchmark import tracing
from rrrbench.benchmark.engine import Fitted
from rrrbench.benchmark.stacking import of_seed
from rrrbench.methods.base import Mitigation, Terms, mitigations
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.rrr import RRR
from rrrbench.methods.network import Net
from rrrbench.methods.targets import DEGENERATE, TARGETS
from small import small_dataset, small_net_and_batch, small_network, small_trainer, trainer_for, without_masks

EVERY = [mitigations.resolve(name) for name in mitigations.names()] + [
    RRR(target=target) for target in TARGETS if target != "log_prob_sum"
]
WITH_STRENGTH = [mitigation for mitigation in EVERY if mitigation.has_strength]
WITH_MASKS_ALONE = [mitigation for mitigation in EVERY if mitigation.needs == {"masks"}]


def by_id(mitigation: Mitigation) -> str:
    return mitigation.id


def same_bits(a, b, columns) -> bool:
    return all(torch.equal(a[name][:, columns], b[name][:, columns]) for name in a)


@pytest.mark.parametrize("engine", ["stacked", pytest.param("single", marks=pytest.mark.slow)])
@pytest.mark.parametrize("mitigation", WITH_STRENGTH, ids=by_id)
def test_law_1_strength_0_is_erm_bit_for_bit(mitigation, engine):
    fitted, erm = (
        method.fit(trainer_for(mitigation, engine=engine, dtype=torch.float32)) for method in (mitigation, ERM())
    )
    assert same_bits(fitted.parameters, erm.parameters, slice(0, 1))
    assert mitigation.degenerate or not same_bits(fitted.parameters, erm.parameters, slice(1, 2))


@pytest.mark.parametrize("mitigation", WITH_MASKS_ALONE, ids=by_id)
def test_law_1_an_empty_mask_is_erm_bit_for_bit(mitigation):
    draws, network = [without_masks(small_dataset(seed)) for seed in (0, 1)], small_network(mitigation)
    fitted, erm = (
        method.fit(small_trainer(draws=draws, network=network, dtype=torch.float32)) for method in (mitigation, ERM())
    )
    assert same_bits(fitted.parameters, erm.parameters, slice(None))


@pytest.mark.parametrize("mitigation", [m for m in WITH_STRENGTH if not m.degenerate], ids=by_id)
def test_law_2_the_right_reason_term_moves_the_parameters(mitigation):
    liveness = mitigation.fit(trainer_for(mitigation)).liveness
    for when in ("start", "middle", "end"):
        assert (liveness[when][:, 0] == 0).all()
        assert (liveness[when][:, 1] > 0).all()


def test_law_2_catches_a_detached_penalty():
    class Detached(RRR):
        name: ClassVar[str] = "detached"

        def terms(self, net, batch, strength):
            right_answer, right_reason = super().terms(net, batch, strength)
            return Terms(right_answer, right_reason.detach())

    assert all((values == 0).all() for values in Detached().fit(small_trainer()).liveness.values())


@pytest.mark.parametrize("mitigation", EVERY, ids=by_id)
def test_law_3_the_terms_do_not_depend_on_the_batch_size(mitigation):
    trainer = trainer_for(mitigation)
    module, coins = trainer.modules[0], torch.Generator().manual_seed(1)
    own = {name: value.double() for name, value in mitigation.parameters(module, trainer.draws[0]).items()}
    net = Net(module, {**dict(module.named_parameters()), **own})
    batch = of_seed(trainer.train_data.batch(slice(0, 24), torch.float64), 0)
    batch = batch._replace(draws={name: torch.rand(24, generator=coins).round() for name in mitigation.carries})
    batch = mitigation.augment(batch, 3, torch.Generator().manual_seed(0))
    strength = torch.tensor(0.5, dtype=torch.float64)

    def terms(rows: slice) -> torch.Tensor:
        draws = {name: drawn[rows] for name, drawn in batch.draws.items()}
        part = batch._replace(
            inputs=batch.inputs[rows],
            labels=batch.labels[rows],
            masks=batch.masks[rows],
            shortcuts=batch.shortcuts[rows],
            draws=draws,
        )
        return torch.stack(mitigation.terms(net, part, strength))

    thirds = torch.stack([terms(slice(start, start + 8)) for start in (0, 8, 16)])
    torch.testing.assert_close(thirds.mean(0), terms(slice(0, 24)), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("pixel_range", ["unit", pytest.param((-1.0, 1.0), marks=pytest.mark.slow)], ids=str)
@pytest.mark.parametrize("mitigation", EVERY, ids=by_id)
def test_law_4_stacked_or_alone_the_numbers_are_the_same(mitigation, pixel_range):
    strengths = (0.0, 0.01, 0.1) if mitigation.has_strength else (0.0,)
    stacked, single = (
        mitigation.fit(trainer_for(mitigation, strengths, pixel_range=pixel_range, engine=engine, epochs=1))
        for engine in ("stacked", "single")
    )
    for name, value in stacked.parameters.items():
        torch.testing.assert_close(value, single.parameters[name], rtol=1e-7, atol=1e-9)
    for name, curve in stacked.curves.items():
        torch.testing.assert_close(curve, single.curves[name], rtol=1e-7, atol=1e-9)


def traced_and_not(mitigation: Mitigation, monkeypatch, **settings) -> list[Fitted]:
    fitted = []
    for trace_after in (2, 1000):
        monkeypatch.setattr(tracing, "TRACE_AFTER", trace_after)
        fitted.append(mitigation.fit(trainer_for(mitigation, **settings)))
    return fitted


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["stacked", "single"])
@pytest.mark.parametrize("mitigation", EVERY, ids=by_id)
def test_law_4_traced_or_not_the_numbers_are_the_same(mitigation, engine, monkeypatch):
    traced, untraced = traced_and_not(mitigation, monkeypatch, engine=engine, batch_size=12, epochs=2)
    for name, value in traced.parameters.items():
        torch.testing.assert_close(value, untraced.parameters[name], rtol=1e-10, atol=1e-12)


def test_a_smaller_last_batch_has_its_own_program(monkeypatch):
    traced, untraced = traced_and_not(RRR(), monkeypatch, batch_size=10)
    for name, value in traced.parameters.items():
        torch.testing.assert_close(value, untraced.parameters[name], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mitigation", EVERY, ids=by_id)
def test_law_5_nothing_global_is_left_changed(mitigation):
    trainer = trainer_for(mitigation, epochs=1)
    modes = [module.training for module in trainer.modules]
    before = torch.get_rng_state()
    mitigation.fit(trainer)
    assert torch.equal(before, torch.get_rng_state())
    assert [module.training for module in trainer.modules] == modes
    assert all(parameter.grad is None for module in trainer.modules for parameter in module.parameters())


@pytest.mark.parametrize("mitigation", WITH_MASKS_ALONE, ids=by_id)
def test_knowing_where_masks_lie_changes_no_term(mitigation):
    net, batch = small_net_and_batch(small_network(mitigation))
    batch = mitigation.augment(batch, 3, torch.Generator().manual_seed(0))
    touched = batch.masks.any(0).flatten().nonzero()[:, 0]
    strength = torch.tensor(0.5, dtype=torch.float64)
    everywhere, there = (mitigation.terms(net, b, strength) for b in (batch, batch._replace(touched=touched)))
    torch.testing.assert_close(everywhere, there)


def test_only_the_declared_targets_are_degenerate():
    assert {target for target in TARGETS if RRR(target=target).degenerate} == DEGENERATE
