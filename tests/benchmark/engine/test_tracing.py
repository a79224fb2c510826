"""What is taken out of a traced program changes nothing that it computes."""

from __future__ import annotations

from collections import Counter

import torch
from rrrbench.benchmark.engine.tracing import simplify
from torch.fx.experimental.proxy_tensor import make_fx

ATEN = torch.ops.aten


def test_what_adds_zero_or_comes_twice_is_taken_out():
    low, positions = torch.zeros(()), 2

    def logits(inputs, weight):
        nothing = torch.zeros(len(inputs), positions) * 3.0
        hidden = (low + inputs) @ weight.T + nothing @ weight[:, :positions].T
        again = (torch.zeros(()) + (torch.zeros(()) + inputs)) @ weight.T
        return hidden.log_softmax(-1) + 0.5 * again.log_softmax(-1)

    inputs, weight = torch.rand(4, 5), torch.rand(3, 5)
    program = make_fx(logits)(inputs, weight)
    simplify(program)
    calls = Counter(node.target for node in program.graph.nodes)
    assert (calls[ATEN.mm.default], calls[ATEN._log_softmax.default], calls[ATEN.add.Tensor]) == (1, 1, 1)
    torch.testing.assert_close(program(inputs, weight), logits(inputs, weight), rtol=0, atol=0)


def test_what_is_written_to_or_of_another_type_is_no_repetition():
    def written(values, counts):
        first, second, third = torch.zeros(3), torch.zeros(3), torch.zeros(3)
        first[:1] = values[:1]
        second[1:] = values[1:]
        third[:2] = values[:2]
        return first, second, values + third, counts * 2, counts * 2.0

    def typed(values, counts):
        return values * 2, counts * 2, counts * 2.0, counts * True

    values, counts = torch.rand(3), torch.arange(3)
    for function in (written, typed):
        program = make_fx(function)(values, counts)
        simplify(program)
        for result, expected in zip(program(values, counts), function(values, counts), strict=True):
            torch.testing.assert_close(result, expected, rtol=0, atol=0)


def test_a_zero_that_widens_or_converts_stays():
    def widened(values):
        return torch.zeros(3, 2) + values, torch.zeros(2, dtype=torch.float64) + values

    values = torch.rand(2)
    program = make_fx(widened)(values)
    simplify(program)
    for result, expected in zip(program(values), widened(values), strict=True):
        torch.testing.assert_close(result, expected, rtol=0, atol=0)
