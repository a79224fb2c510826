"""Core masks on their way from a data set to a mitigation's terms."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from rrrbench.benchmark.conformance.laws import laws
from rrrbench.benchmark.engine.stacking import StackedBatch, StackedSplit
from rrrbench.datasets.recipe import make
from rrrbench.methods.base import Mitigation, Supervision, Terms, cross_entropy
from rrrbench.methods.gradients import input_gradient
from rrrbench.methods.targets import TARGETS
from small import small_dataset, small_trainer


class OutsideCore(Mitigation):
    """Penalises the squared input gradient outside the core; inputs without a core mask are left alone."""

    name: ClassVar[str] = "outside_core"
    needs: ClassVar[frozenset[Supervision]] = frozenset({"core"})

    def terms(self, net, batch, strength):
        def target(logits):
            return TARGETS["log_prob_sum"](logits, batch)

        gradient, logits = input_gradient(net, batch.inputs, target)
        told = batch.core.flatten(1).any(1)[:, None, None, None]
        penalty = strength * (gradient * (~batch.core & told)).square().flatten(1).sum(1).mean()
        return Terms(cross_entropy(logits, batch.labels), penalty)


class Nosy(OutsideCore):
    """Says that it needs nothing, and looks at the core all the same."""

    needs: ClassVar[frozenset[Supervision]] = frozenset()

    def terms(self, net, batch, strength):
        assert batch.core is None
        right_answer = cross_entropy(net(batch.inputs), batch.labels)
        return Terms(right_answer, 0 * right_answer)


@pytest.mark.long
@pytest.mark.parametrize("law", laws(OutsideCore()).values(), ids=laws(OutsideCore()))
def test_a_mitigation_that_needs_core_masks_keeps_the_laws(law):
    law(OutsideCore())


def test_without_core_masks_it_is_inapplicable_and_says_why():
    draw = replace(small_dataset(), train=replace(small_dataset().train, core=None))
    module = small_trainer().modules[0]
    assert OutsideCore().obstacle(draw, module).startswith("small has no core masks")
    assert not OutsideCore().obstacle(small_dataset(), module)


def test_a_mitigation_that_does_not_need_core_masks_trains_without():
    Nosy().fit(small_trainer())


def test_a_batch_has_its_inputs_core_in_a_stack_and_alone():
    splits = [small_dataset(seed).train for seed in (0, 1)]
    data = StackedSplit.of(splits, torch.device("cpu"))
    index = torch.tensor([[3, 1, 2], [0, 5, 20]])
    batch = data.batch(index, torch.float32)
    for seed in (0, 1):
        assert torch.equal(batch.of_seed(seed).core, splits[seed].batch(index[seed]).core)
    again = StackedBatch.of_seeds([batch.of_seed(0), batch.of_seed(1)])
    assert torch.equal(again.core, batch.core)
    assert torch.equal(data[1:, :].batch(index[1:], torch.float32).core, batch.core[1:])


def test_rows_of_a_split_keep_all_that_is_known():
    split = small_dataset().train
    split = replace(split, known=torch.arange(24) % 2 == 0)
    few = split.rows(slice(3, 7))
    for name in ("inputs", "labels", "masks", "shortcuts", "known", "core"):
        assert torch.equal(getattr(few, name), getattr(split, name)[3:7])


@pytest.mark.parametrize("variant", ["ross", "cdep", "half"])
def test_digits_have_their_ink_as_core(variant):
    draw = make("decoy", 0, variant=variant)
    for split in (draw.train, draw.validation, *draw.environments.values()):
        assert split.core.flatten(1).any(1).all()
        assert not (split.core & split.masks).any()
    clean, aligned = draw.test("clean"), draw.test("aligned")
    assert torch.equal(clean.core, clean.inputs > 25)
    assert torch.equal(aligned.core, clean.core & ~aligned.masks)
    assert torch.equal(draw.clean_train().core & ~draw.train.masks, draw.train.core)


@pytest.mark.parametrize("spec", [{"name": "iris-cancer"}, {"name": "toy-colors", "shortcut": "top_middle"}])
def test_where_the_class_is_told_without_the_shortcut_is_the_core(spec):
    draw = make(**spec, seed=0)
    for split in (draw.train, draw.validation, *draw.environments.values()):
        assert (split.core.flatten(1).sum(1) == (30 if spec["name"] == "iris-cancer" else 4)).all()
        assert not (split.core & split.masks).any()


def test_nothing_is_the_core_where_both_rules_are_the_shortcut():
    assert make("toy-colors", 0, shortcut="both", train_inputs=20, test_inputs=20).train.core is None


def test_core_masks_are_told_wrongly_and_of_few_inputs_as_masks_are():
    true, wrong = (make("decoy", 0, masks=masks, annotated=50) for masks in ("true", "wrong"))
    for split in (true.train, wrong.train):
        told = split.core.flatten(1).any(1)
        assert told.sum() == 50
        assert torch.equal(told, split.masks.flatten(1).any(1))
    told = true.train.core.flatten(1).any(1) & wrong.train.core.flatten(1).any(1)
    assert not torch.equal(true.train.core, wrong.train.core)
    whole = make("decoy", 0).train.core
    assert torch.equal(true.train.core[told], whole[told])


def test_the_digest_does_not_depend_on_core_masks():
    draw = small_dataset()
    assert draw.digest() == replace(draw, train=replace(draw.train, core=None)).digest()
