from __future__ import annotations

import pytest
import torch
from rrrbench.benchmark.engine.places import halves, joined, split, trained, whole
from rrrbench.methods.fitting import Fitted


@pytest.mark.parametrize(("seeds", "strengths", "most"), [(3, 6, 4), (1, 5, 2), (7, 1, 3), (2, 2, 0)])
def test_split_covers_every_run_once(seeds, strengths, most):
    runs = torch.zeros(seeds, strengths)
    for place in split((slice(0, seeds), slice(0, strengths)), most):
        assert runs[place].numel() <= max(1, most)
        runs[place] += 1
    assert (runs == 1).all()
    assert halves((slice(0, 2), slice(0, 3))) == ((slice(0, 2), slice(0, 1)), (slice(0, 2), slice(1, 3)))


def numbered(place) -> Fitted:
    """Every tensor of a run is its number in a stack of (3, 4)."""
    numbers = torch.arange(12.0).view(3, 4)[place]
    curves = {"right_answer": numbers[..., None].expand(-1, -1, 2)}
    return Fitted({"weight": numbers[..., None, None].expand(-1, -1, 5, 6)}, curves, {"start": numbers}, numbers)


def test_what_does_not_fit_is_halved_and_every_run_is_trained_once_at_its_place():
    attempts = []

    def train(place):
        attempts.append(numbered(place).seconds.numel())
        if attempts[-1] > 2:
            raise torch.OutOfMemoryError("planted")
        return numbered(place)

    fitted = joined(trained([whole((3, 4))], train), (3, 4))
    assert torch.equal(fitted.seconds, torch.arange(12.0).view(3, 4))
    assert torch.equal(fitted.parameters["weight"], numbered(whole((3, 4))).parameters["weight"])
    assert torch.equal(fitted.curves["right_answer"], numbered(whole((3, 4))).curves["right_answer"])
    assert sum(size for size in attempts if size <= 2) == 12


def test_another_error_is_not_taken_for_a_lack_of_memory():
    def broken(place):
        raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        trained([whole((3, 4))], broken)
