from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from rrrbench.benchmark.engine.part import parts_of
from rrrbench.benchmark.engine.places import FIRST_RUN, whole
from rrrbench.methods.base import mitigations
from rrrbench.methods.mitigations.adversarial_debiasing import AdversarialDebiasing
from rrrbench.methods.mitigations.avg_ex import AvgEx
from rrrbench.methods.mitigations.rrr import RRR
from small import SmallConvolutional, small_dataset, small_trainer, trainer_for


@pytest.mark.long
@pytest.mark.parametrize("engine", ["stacked", "single"])
def test_masks_for_each_strength_are_refused_where_draws_are_for_all(engine):
    trainer = small_trainer((0.1, 0.2, 0.3), engine=engine)
    masks = trainer.train_data.masks.repeat_interleave(3, 1)
    with pytest.raises(ValueError, match=r"avg_ex got masks for each of 3 strengths.*give one mask a seed"):
        trainer.train(AvgEx(), masks=masks)
    assert not trainer.train(AvgEx(), masks=masks[:, :1]).diverged.any()


def test_liveness_is_of_inputs_with_masks_wherever_they_are():
    draw = small_dataset()
    masks = draw.train.masks.clone()
    masks[:-2] = False  # the first batch of 8 has none
    few = replace(draw, train=replace(draw.train, masks=masks))
    fitted = small_trainer(draws=[few], batch_size=8).train(RRR())
    assert all(bool((values[:, 1] > 0).all()) for values in fitted.liveness.values())


def test_a_part_counts_every_epoch_of_its_runs_also_those_it_need_not_train():
    for rate, strengths in ((0.1, (0.0, 0.1)), (1e20, (1e300, 1e300))):
        epochs = []
        runs = small_trainer(strengths, epochs=5, optimizer="sgd", learning_rate=rate).runs()
        fitted = parts_of(RRR(), runs, epochs.append)(whole(runs.strengths.shape)).train()
        assert sum(epochs) == 4 * 5
        assert bool(fitted.diverged.all()) == (rate > 1)


def test_a_step_moves_a_mitigations_own_parameters_which_are_dropped_after_training():
    mitigation = AdversarialDebiasing()
    part = parts_of(mitigation, trainer_for(mitigation).runs())((slice(0, 1), slice(1, 2)))  # strength 0.5
    before = {name: value.clone() for name, value in part.parameters.items()}
    part.step(part.first_batch())
    assert part.own == {"adversary.weight", "adversary.bias"}
    assert not any(torch.equal(before[name], part.parameters[name]) for name in part.own)
    assert set(part.train().parameters) == set(before) - part.own


def test_strengths_of_a_seed_share_its_draws_and_seeds_do_not():
    part = parts_of(AvgEx(), small_trainer().runs())((slice(0, 2), slice(0, 2)))
    batch = part.first_batch()
    (drawn,) = batch.draws.values()
    assert drawn.shape[:2] == (2, 8)
    assert not torch.equal(drawn[0], drawn[1])
    again = parts_of(AvgEx(), small_trainer((0.7,), seeds=(1,)).runs())(FIRST_RUN).first_batch()
    assert torch.equal(again.draws[next(iter(batch.draws))][0], drawn[1])


@pytest.mark.long
@pytest.mark.parametrize("name", ["rrr", "smooth_rrr", "rand_r4"])
def test_penalties_of_convolutions_at_the_masked_pixels_are_traced(name):
    """A program with a shape that tensors decide is not traced, so what masks reach is computed outside."""
    runs = small_trainer(network=SmallConvolutional()).runs()
    part = parts_of(mitigations.resolve(name), runs)(FIRST_RUN)
    part.trace()
    (program,) = part.gradients.programs.values()
    assert program is not part.gradients.untraced
