"""DESIGN's five laws, over every mitigation in the registry: a new one is tested by being there."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import ClassVar

import pytest
import torch
from rrrbench.benchmark.conformance import laws
from rrrbench.benchmark.conformance.violation import Violation
from rrrbench.benchmark.engine import tracing
from rrrbench.methods.base import Mitigation, Terms, mitigations
from rrrbench.methods.fitting import Fitted
from rrrbench.methods.mitigations.rrr import RRR
from rrrbench.methods.network import Net
from rrrbench.methods.targets import TARGETS
from small import small_dataset, small_net_and_batch, small_network, trainer_for

EVERY = [mitigations.resolve(name) for name in mitigations.names()] + [
    RRR(target=target) for target in TARGETS if target != "log_prob_sum"
]
SLOW = {RRR(target=target) for target in TARGETS} - {RRR(), RRR(target="prob_sum")}
"""Variants that differ in one factor of one term."""
SLOWER = SLOW | {
    mitigations.resolve(name)
    for name in (
        *("a_clarc", "actdiff_adversary", "gain", "ibp_ex+rrr", "isnet", "lff", "lisa", "mixup", "model_guidance"),
        *("p_clarc", "pgd_ex+rrr", "pgd_r4", "rand_r4", "rr_clarc", "saliency_guided", "tap"),
    )
}
"""Also methods that share their terms or their way of training with a method that is tested at every change."""
FAMILIES = {
    mitigations.resolve(name)
    for name in (
        *("actdiff", "adversarial_debiasing", "cdep", "dfr", "erm", "group_dro", "gradmask", "jtt", "r4"),
        *("rrr", "rrr_gradcam", "shortcut_masking"),
    )
}
"""At least a method of each kind of term and of training, for the laws that take the longest."""
ALL_BUT_FAMILIES = set(EVERY) - FAMILIES
FIRST = {mitigations.resolve(name) for name in ("erm", "rrr", "shortcut_masking")}
"""Of the families, those in `make test`; the others' longest laws are in `make test-long`."""

WITH_STRENGTH = [mitigation for mitigation in EVERY if mitigation.has_strength]
WITH_MASKS_ALONE = [mitigation for mitigation in EVERY if mitigation.needs == {"masks"}]


def each(mitigations: Sequence[Mitigation], slow: Set[Mitigation] = SLOW):
    """Parametrises a test by mitigations."""

    def marks(one: Mitigation) -> list[pytest.MarkDecorator]:
        if one in slow:
            return [pytest.mark.slow]
        return [pytest.mark.long] if slow == ALL_BUT_FAMILIES and one not in FIRST else []

    cases = [pytest.param(one, marks=marks(one), id=one.id) for one in mitigations]
    return pytest.mark.parametrize("mitigation", cases)


@pytest.mark.parametrize("engine", ["stacked", pytest.param("single", marks=pytest.mark.slow)])
@each(WITH_STRENGTH, ALL_BUT_FAMILIES)
def test_law_1_strength_0_is_erm_bit_for_bit(mitigation, engine):
    laws.strength_0_is_erm(mitigation, engine)


@each(WITH_MASKS_ALONE, ALL_BUT_FAMILIES)
def test_law_1_an_empty_mask_is_erm_bit_for_bit(mitigation):
    laws.an_empty_mask_is_erm(mitigation)


@each([m for m in WITH_STRENGTH if not m.degenerate], SLOWER)
def test_law_2_the_right_reason_term_moves_the_parameters(mitigation):
    laws.the_right_reason_term_is_alive(mitigation)


def test_law_2_catches_a_detached_penalty():
    class Detached(RRR):
        name: ClassVar[str] = "detached"

        def terms(self, net, batch, strength):
            right_answer, right_reason = super().terms(net, batch, strength)
            return Terms(right_answer, right_reason.detach())

    with pytest.raises(Violation, match="gradient is zero"):
        laws.the_right_reason_term_is_alive(Detached())


@each(EVERY)
def test_law_3_the_terms_do_not_depend_on_the_batch_size(mitigation):
    laws.the_batch_size_does_not_matter(mitigation)


@pytest.mark.parametrize("pixel_range", ["unit", pytest.param((-1.0, 1.0), marks=pytest.mark.slow)], ids=str)
@each(EVERY, ALL_BUT_FAMILIES)
def test_law_4_stacked_or_alone_the_numbers_are_the_same(mitigation, pixel_range):
    laws.stacked_or_alone(mitigation, pixel_range)


def traced_and_not(mitigation: Mitigation, monkeypatch, **settings) -> list[Fitted]:
    fitted = []
    for trace_after in (2, 1000):
        monkeypatch.setattr(tracing, "TRACE_AFTER", trace_after)
        fitted.append(mitigation.fit(trainer_for(mitigation, **settings)))
    return fitted


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["stacked", "single"])
@each(EVERY)
def test_law_4_traced_or_not_the_numbers_are_the_same(mitigation, engine, monkeypatch):
    traced, untraced = traced_and_not(mitigation, monkeypatch, engine=engine, batch_size=12, epochs=2)
    for name, value in traced.parameters.items():
        torch.testing.assert_close(value, untraced.parameters[name], rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_a_smaller_last_batch_has_its_own_program(monkeypatch):
    traced, untraced = traced_and_not(RRR(), monkeypatch, batch_size=10)
    for name, value in traced.parameters.items():
        torch.testing.assert_close(value, untraced.parameters[name], rtol=1e-10, atol=1e-12)


@each(EVERY, SLOWER)
def test_law_5_nothing_global_is_left_changed(mitigation):
    laws.nothing_global_changes(mitigation)


@each(WITH_MASKS_ALONE)
def test_knowing_where_masks_lie_changes_no_term(mitigation):
    net, batch = small_net_and_batch(small_network(mitigation))
    own = mitigation.parameters(net.module, small_dataset(0))
    net = Net(net.module, {**net.parameters, **{name: value.double() for name, value in own.items()}})
    batch = mitigation.augment(batch, 3, torch.Generator().manual_seed(0))
    touched = batch.masks.any(0).flatten().nonzero()[:, 0]
    strength = torch.tensor(0.5, dtype=torch.float64)
    everywhere, there = (mitigation.terms(net, b, strength) for b in (batch, batch._replace(touched=touched)))
    torch.testing.assert_close(everywhere, there)
