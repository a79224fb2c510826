from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from rrrbench.benchmark.engine import stacking
from rrrbench.benchmark.engine.stacking import StackedBatch, StackedSplit, over_stack
from rrrbench.methods.base import Terms
from small import small_dataset, small_split

CPU = torch.device("cpu")


def stacked(seeds=(0, 1)) -> StackedSplit:
    return StackedSplit.of([small_dataset(seed).train for seed in seeds], CPU)


def test_a_seeds_batch_is_the_splits_batch():
    index = torch.tensor([[3, 1, 2], [0, 5, 20]])
    batch = stacked().batch(index, torch.float32)
    for seed in (0, 1):
        expected = small_dataset(seed).train.batch(index[seed])
        for got, wanted in zip(batch.of_seed(seed)[:4], expected[:4], strict=True):
            assert torch.equal(got, wanted)
    again = StackedBatch.of_seeds([batch.of_seed(0), batch.of_seed(1)])
    assert all(torch.equal(a, b) for a, b in zip(again[:4], batch[:4], strict=True))


def test_seeds_of_different_size_do_not_stack():
    with pytest.raises(ValueError, match=r"differ in size: \[24, 10\]"):
        StackedSplit.of([small_dataset(0).train, small_split(1, "train", "aligned", n=10)], CPU)


@pytest.mark.parametrize(("seeds", "columns"), [(1, 1), (2, 1), (1, 3), (2, 3)])
@pytest.mark.parametrize("masks_differ", [False, True])
def test_the_terms_of_a_stack_are_those_of_its_runs(seeds, columns, masks_differ):
    data = stacked(range(seeds))
    if masks_differ and columns > 1:
        masks = torch.rand(seeds, columns, *data.masks.shape[2:], generator=torch.Generator().manual_seed(0)) > 0.5
        data = StackedSplit(data.inputs, data.labels, masks, data.shortcuts)
    batch = data.batch(slice(0, 7), torch.float64)
    weights = torch.rand(seeds, columns, 36, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    strengths = torch.arange(1.0, 1 + seeds * columns, dtype=torch.float64).view(seeds, columns)

    def terms(parameters, batch, strength):
        scores = batch.inputs.flatten(1) @ parameters["weight"]
        return Terms((scores * batch.labels).mean(), strength * (batch.inputs * batch.masks).sum(0).mean())

    both = over_stack(terms, data.masks_differ, channels_last=True)({"weight": weights}, batch, strengths)
    for row in range(seeds):
        for column in range(columns):
            run = data[row : row + 1, column : column + 1].batch(slice(0, 7), torch.float64).of_seed(0)
            expected = terms({"weight": weights[row, column]}, run, strengths[row, column])
            for got, wanted in zip(both, expected, strict=True):
                torch.testing.assert_close(got[row, column], wanted)


def test_touched_positions_are_those_that_some_mask_covers_unless_they_are_most():
    data = stacked()
    corners = torch.zeros(6, 6, dtype=torch.bool)
    corners[:2, :2] = corners[-2:, -2:] = True
    assert data.touched().tolist() == corners.flatten().nonzero()[:, 0].tolist()
    everywhere = StackedSplit(data.inputs, data.labels, torch.ones_like(data.masks), data.shortcuts)
    assert everywhere.touched() is None


@pytest.mark.parametrize(("runs", "sizes"), [(1, [16, 8]), (4, [4] * 6), (64, [1] * 24)])
def test_more_runs_take_fewer_inputs_at_a_time(monkeypatch, runs, sizes):
    monkeypatch.setattr(stacking, "CHUNK", 16)
    split = StackedSplit.of([small_dataset(seed).train for seed in (0, 1)], torch.device("cpu"))
    chunks = [*split.chunks(torch.float32, runs)]
    assert [chunk.labels.shape[1] for chunk in chunks] == sizes
    assert torch.equal(torch.cat([chunk.labels for chunk in chunks], 1), split.labels)


def test_a_batch_by_index_is_laid_out_as_a_batch_by_slice_whose_program_it_may_run():
    split = StackedSplit.of([small_dataset(seed).train for seed in (0, 1)], torch.device("cpu"))
    split = replace(split, masks=split.masks.repeat(1, 3, 1, 1, 1, 1))
    index = torch.arange(8).expand(2, 8)
    first, second = (split.batch(at, torch.float32).masks for at in (slice(0, 8), index))
    assert torch.equal(first, second)
    assert first.contiguous().stride() == second.stride()


@pytest.mark.parametrize(("side", "runs", "first"), [(28, 1, 4096), (28, 8, 512), (224, 1, 27), (224, 40, 1)])
def test_a_pass_of_large_inputs_has_fewer_of_them(side, runs, first):
    inputs = torch.zeros(1, 1, 1, 1, 1).expand(1, 5000, 3 if side > 28 else 1, side, side)
    split = StackedSplit(inputs, torch.zeros(1, 5000).long(), inputs[:, None].bool(), torch.zeros(1, 5000).long())
    assert next(split.chunks(torch.float32, runs)).labels.shape[1] == first
