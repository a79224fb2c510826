"""A device's free memory, and errors that say that there is none left."""

from __future__ import annotations

import psutil
import torch

SHARE_OF_MEMORY = 0.7
"""The share of the free memory that runs trained together may be expected to take."""

FAILED_ALLOCATIONS = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""In errors of an allocation that failed in the CPU's allocator, or within a GPU's libraries."""


def free_memory(device: torch.device) -> int:
    """Bytes that may be allocated on the device: on a GPU also those that torch keeps for later tensors."""
    if device.type != "cuda":
        return psutil.virtual_memory().available
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + cached


def how_many_fit(bytes_each: int, device: torch.device, sharers: int = 1) -> int:
    """How many runs of so many bytes can be trained together on the device."""
    return int(SHARE_OF_MEMORY * free_memory(device) / sharers / bytes_each)


def out_of_memory(error: RuntimeError) -> bool:
    """Whether the error is a failed allocation, on a GPU or on a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in FAILED_ALLOCATIONS)
