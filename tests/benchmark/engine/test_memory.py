from __future__ import annotations

import psutil
import pytest
import torch
from rrrbench.benchmark.engine.memory import free_memory, how_many_fit, out_of_memory
from rrrbench.methods.mitigations.erm import ERM
from small import small_trainer


def test_memory_that_torch_keeps_on_a_gpu_is_free(monkeypatch):
    gpu, asked = torch.device("cuda:1"), []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: asked.append(device) or (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: asked.append(device) or 70)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: asked.append(device) or 20)
    assert free_memory(gpu) == 150
    assert asked == [gpu] * 3


def test_a_cpus_free_memory_is_the_systems():
    assert 0 < free_memory(torch.device("cpu")) <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_a_failed_allocation_is_known(error):
    assert out_of_memory(error)


def test_an_error_of_another_kind_is_no_failed_allocation():
    assert not out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))


def test_processes_on_one_gpu_share_what_is_free(monkeypatch):
    monkeypatch.setattr("rrrbench.benchmark.engine.memory.free_memory", lambda device: 1000)
    assert [how_many_fit(10, torch.device("cuda:0"), sharers) for sharers in (1, 2, 7)] == [70, 35, 10]


def test_a_part_asks_for_its_share(monkeypatch):
    asked = []
    monkeypatch.setattr("rrrbench.benchmark.engine.part.how_many_fit", lambda *given: asked.append(given[1:]) or 4)
    trainer = small_trainer()
    trainer.sharers = 3
    trainer.train(ERM())
    assert asked == [(torch.device("cpu"), 3)]
