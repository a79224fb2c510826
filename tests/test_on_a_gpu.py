"""On a real GPU: the CPU's numbers within rounding, and stacks that do not fit are trained in parts."""

from __future__ import annotations

import pytest
import torch
from rrrbench.benchmark.engine import tracing
from rrrbench.benchmark.engine.part import Part, parts_of
from rrrbench.benchmark.engine.places import FIRST_RUN
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.running.executors import Settings, Task, run_stack
from rrrbench.benchmark.suite.loading import parse_suite
from rrrbench.benchmark.suite.training import Training
from rrrbench.datasets.recipe import make
from rrrbench.methods.base import mitigations
from rrrbench.methods.mitigations.rrr import RRR
from small import trainer_for

pytestmark = pytest.mark.gpu
GPU = "cuda"
STRENGTHS = (0.0, 0.1, 1.0, 10.0)


def decoy_trainer(network, device, precision="float32", strengths=(0.0, 1.0)):
    draws = [make("decoy", seed, base="digits") for seed in (0, 1)]
    training = Training(epochs=2, batch_size=128, precision=precision)
    table = torch.tensor([strengths] * 2)
    return Trainer(networks.resolve(network), draws, training, table, device=device, engine="stacked")


@pytest.mark.parametrize("name", mitigations.names())
def test_float64_gives_the_cpus_numbers(name):
    mitigation = mitigations.resolve(name)
    cpu, gpu = (trainer_for(mitigation, epochs=8) for _ in range(2))  # 24 steps, of which the last are traced
    gpu = Trainer(gpu.network, gpu.draws, gpu.training, gpu.strengths, device=GPU, dtype=torch.float64)
    expected, found = mitigation.fit(cpu), mitigation.fit(gpu)
    for key, value in expected.parameters.items():
        torch.testing.assert_close(found.parameters[key].cpu(), value, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("network", ["mlp", "lenet"])
def test_a_traced_stack_in_float32_gives_the_cpus_numbers(monkeypatch, network):
    """Within 1e-3 of the parameters, which are of size 0.1, after 20 steps of which 18 are traced."""
    monkeypatch.setattr(tracing, "TRACE_AFTER", 2)
    expected, found = (RRR().fit(decoy_trainer(network, device)) for device in ("cpu", GPU))
    for key, value in expected.parameters.items():
        torch.testing.assert_close(found.parameters[key].cpu(), value, rtol=0, atol=1e-3)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_other_precisions_train(precision):
    fitted = RRR().fit(decoy_trainer("mlp", GPU, precision))
    assert not fitted.diverged.any()
    loss = fitted.curves["right_answer"]
    assert bool((loss[..., -1] < loss[..., 0]).all())


def test_a_stack_that_does_not_fit_is_trained_in_parts(monkeypatch):
    whole = RRR().fit(decoy_trainer("lenet", GPU, strengths=STRENGTHS))
    sizes, train = [], Part.train
    monkeypatch.setattr(Part, "train", lambda part: sizes.append(part.strengths.numel()) or train(part))
    trainer = decoy_trainer("lenet", GPU, strengths=STRENGTHS)
    for_four = 4 * parts_of(RRR(), trainer.runs())(FIRST_RUN).trace()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + for_four) / total)
    try:
        parted = RRR().fit(trainer)  # torch says that more is free than this process may have
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert sizes[0] == 8
    assert len(sizes) > 1
    for key, value in whole.parameters.items():
        torch.testing.assert_close(parted.parameters[key], value, rtol=0, atol=1e-3)


@pytest.mark.parametrize("network", ["mlp", "lenet"])
def test_a_stack_from_draw_to_record(network):
    sweep = {
        "dataset": {"name": "decoy", "base": "digits"},
        "network": network,
        "training": {"epochs": 3, "batch_size": 128},
        "mitigations": [{"mitigation": "rrr", "strengths": [0.1, 1.0]}],
    }
    (stack,) = parse_suite({"name": "gpu", "seeds": [0, 1], "sweeps": [sweep]}, "gpu").stacks()
    expected, found = (run_stack(Task(stack), Settings(device=device)) for device in ("cpu", GPU))
    for record, other in zip(found.records, expected.records, strict=True):
        assert record.status == "finished", record.error
        assert record.metrics.keys() == other.metrics.keys()
        assert record.metrics["accuracy/random"] == pytest.approx(other.metrics["accuracy/random"], abs=0.03)
