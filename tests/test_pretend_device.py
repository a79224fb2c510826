"""The pretend device refuses what CUDA refuses, takes what CUDA takes, and counts what CUDA waits for."""

from __future__ import annotations

import pytest
import torch
from pretend_device import OnDevice, to_host, waits
from rrrbench.methods.choosing import moved

MIXES = {
    "sum": lambda device, host: device + host,
    "sum in place": lambda device, host: device.add_(host),
    "product": lambda device, host: device @ host,
    "where": lambda device, host: torch.where(host > 0, device, device),
    "masked_fill": lambda device, host: device.masked_fill(host > 0, 0.0),
    "host indexed from the device": lambda device, host: host[(device > 0)],
    "cat": lambda device, host: torch.cat([device, host]),
    "stack of scalars": lambda device, host: torch.stack([device.sum(), host.sum()]),
    "gather": lambda device, host: device.gather(0, host.long()),
    "index_add": lambda device, host: device.index_add(0, host[0].long(), device),
    "convolution": lambda device, host: torch.conv2d(device[None, None], host[None, None]),
    "generator": lambda device, host: torch.randn(2, device="pretend", generator=torch.Generator()),
}
LEGAL = {
    "number": lambda device, host: device + 1,
    "scalar tensor": lambda device, host: device * host.sum(),
    "masked_fill by a scalar tensor": lambda device, host: device.masked_fill(device > 0, host.sum()),
    "indexed from the host": lambda device, host: device[host[0].long()],
    "copied": lambda device, host: host.to(device),
    "made": lambda device, host: device.new_zeros(2) + torch.arange(2, device=device.device),
    "assigned from the host": lambda device, host: device.index_put((torch.tensor([0]),), device[0]),
}
WAITS = {
    "item": lambda device: device.sum().item(),
    "bool": lambda device: bool(device.any()),
    "tolist": lambda device: device.tolist(),
    "to the host": lambda device: device.cpu(),
    "numpy": lambda device: device.cpu().numpy(),
    "nonzero": lambda device: device.nonzero(),
    "unique": lambda device: device.unique(),
    "by a mask": lambda device: device[device > 0],
    "from the host": lambda device: torch.ones(2).to(device),
    "from memory that is not pinned": lambda device: torch.ones(2).to(device.device, non_blocking=True),
    "from pinned memory to another type": lambda device: (
        torch.ones(2).pin_memory().to(device.device, torch.float64, non_blocking=True)
    ),
    "made of numbers": lambda device: torch.tensor([1.0], device=device.device),
    "made of numbers like another": lambda device: device.new_tensor([1.0]),
    "indexed from the host": lambda device: device[torch.tensor([0])],
    "bincount": lambda device: device[0].long().bincount(),
    "repeats": lambda device: device[0].repeat_interleave(device[0].long()),
    "runs": lambda device: device[0].unique_consecutive(),
    "inverse": lambda device: torch.linalg.inv(torch.diag(device[0])),
    "equal": lambda device: torch.equal(device, device),
}


@pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES)
def test_a_mix_of_devices_is_refused(pretend, mix):
    with pytest.raises(RuntimeError, match=r"on the host and on the device|generator|device"):
        mix(torch.ones(2, 2, device=pretend), torch.ones(2, 2))


@pytest.mark.parametrize("legal", LEGAL.values(), ids=LEGAL)
def test_a_legal_mix_has_the_hosts_result_on_the_device(pretend, legal):
    result = legal(torch.ones(2, 2).to(pretend), torch.ones(2, 2))
    assert isinstance(result, OnDevice)
    assert result.device == torch.device("pretend:0")
    assert torch.equal(to_host(result), legal(torch.ones(2, 2), torch.ones(2, 2)))


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_a_wait_for_the_device_is_counted(pretend, wait):
    tensor = torch.ones(2, 2, device=pretend)
    with waits() as waited:
        wait(tensor)
    assert waited.total() >= 1


def test_arithmetic_and_copies_to_the_device_do_not_wait(pretend):
    with waits() as waited:
        device = moved(torch.ones(2, 2), torch.device(pretend))
        device = device + moved(torch.ones(2, 2, dtype=torch.bool), device.device, torch.float32)
        (device @ device).relu_().sum().add(1)
    assert not waited


def test_a_gradient_stays_on_the_device(pretend):
    weight = torch.ones(2, 2, device=pretend, requires_grad=True)
    (weight * weight).sum().backward()
    assert isinstance(weight.grad, OnDevice)
    assert to_host(weight.grad).tolist() == [[2.0, 2.0]] * 2
