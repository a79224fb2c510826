"""A device that needs no hardware: its tensors live in the host's memory and refuse what CUDA refuses.

Their kernels are the CPU's, so a result is the CPU's up to the last bit (alignment decides it). What a test on this
device cannot see: CUDA's own kernels, memory and streams, and branches on `device.type == "cuda"`.

The backend needs parts of torch that are private: where they are gone, `pretend` skips the tests that ask for it, and
says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from rrrbench.methods import choosing
from torch import Tensor
from torch.fx.experimental import proxy_tensor
from torch.utils._pytree import tree_map_only

try:
    from torch.utils._mode_utils import no_dispatch
    from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

    MISSING = "" if hasattr(proxy_tensor, "HANDLED_TYPES") else "torch.fx's HANDLED_TYPES"
except ImportError as error:
    MISSING, _DummyBackendModule = str(error), object

NAME = "pretend"
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
"""Operations that take indices from the host, on CUDA too."""
COPYING = {"_to_copy", "copy_"}
"""Operations from one device to another."""
WAITING = {"_local_scalar_dense", "nonzero", "_unique2", "unique_dim", "unique_consecutive", "equal", "masked_select"}
WAITING |= {"bincount", "_linalg_check_errors", "_linalg_svd", "_linalg_eigh", "linalg_eig", "linalg_lstsq"}
"""Operations whose result, or its shape, the host reads: it waits until the device has computed it."""
MADE = ("empty.memory_format", "empty_strided", "arange.start_step", "eye.m", "linspace", "scalar_tensor")
"""Operations that make a tensor from none."""

_waits: Counter[str] = Counter()


class OnDevice(Tensor):
    """A tensor whose device is `pretend:0`.

    Attributes:
        host: the tensor that holds its values, on the CPU.
    """

    host: Tensor

    @staticmethod
    def __new__(cls, host: Tensor) -> OnDevice:
        like = {"strides": host.stride(), "storage_offset": host.storage_offset(), "dtype": host.dtype}
        return Tensor._make_wrapper_subclass(cls, host.shape, device=torch.device(NAME, 0), **like)

    def __init__(self, host: Tensor) -> None:
        self.host = host

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, value: OnDevice) -> None:
        self.host = value.host.detach()
        Tensor.data.__set__(self, value)  # pyrefly: ignore

    def tolist(self) -> Any:
        _waits["tolist"] += 1
        return self.host.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name, tensors = dict(kwargs or {}), func._schema.name.split("::")[1], []
        tree_map_only((Tensor, torch.Generator), tensors.append, (args, kwargs))
        if any(isinstance(tensor, torch.Generator) for tensor in tensors):
            raise RuntimeError(f"{name}: a generator of the host for a tensor of the device")
        reads = name in COPYING and torch.device(kwargs.get("device") or NAME).type == "cpu"
        reads |= name == "copy_" and not isinstance(args[0], OnDevice)
        if reads or name in WAITING or _waits_for_a_copy(name, args, kwargs) or _counts(name, args, kwargs):
            _waits[name] += 1
        _refuse_mixed(func, name, tensors, args)
        if name == "as_strided_":
            args[0].host.as_strided_(*args[1:], **kwargs)
            with no_dispatch():
                return func(*args, **kwargs)
        own = {id(tensor.host): tensor for tensor in tensors if isinstance(tensor, OnDevice)}
        host_args, host_kwargs = tree_map_only(OnDevice, lambda tensor: tensor.host, (args, kwargs))
        if kwargs.get("device") is not None:
            host_kwargs["device"] = torch.device("cpu")
        result = func(*host_args, **host_kwargs)
        if reads:
            return result
        # an operation in place returns the tensor that it wrote to
        return tree_map_only(Tensor, lambda tensor: own[id(tensor)] if id(tensor) in own else OnDevice(tensor), result)


def _waits_for_a_copy(name: str, args: Any, kwargs: Any) -> bool:
    """Whether the host waits until its tensor is on the device; a copy waits for all that was asked for before."""
    if name in INDEXING:
        return any(isinstance(index, Tensor) and not isinstance(index, OnDevice) for index in args[1])
    source = args[1] if name == "copy_" else args[0]
    comes_from_host = name in COPYING and isinstance(source, Tensor) and not isinstance(source, OnDevice)
    if not comes_from_host:
        return False
    becomes = args[0].dtype if name == "copy_" else kwargs.get("dtype", source.dtype)
    goes_on = kwargs.get("non_blocking") or (name == "copy_" and args[2:] == (True,))
    # another type is made on the host first, in memory that is not pinned
    return not (goes_on and hasattr(source, "pinned") and becomes == source.dtype)


def pinned(tensor: Tensor) -> Tensor:
    """The host's tensor, in memory from which the device copies without a wait."""
    copied = tensor.clone()
    copied.pinned = True  # pyrefly: ignore
    return copied


def _counts(name: str, args: Any, kwargs: Any) -> bool:
    """Whether the host must know how many entries the result has: of an index by a mask, of repeats as many as said."""
    if name == "repeat_interleave":
        return kwargs.get("output_size") is None
    return name in INDEXING and any(isinstance(index, OnDevice) and index.dtype == torch.bool for index in args[1])


def _refuse_mixed(func: Any, name: str, tensors: list[Any], args: Any) -> None:
    scalars = torch.Tag.pointwise in func.tags or name.startswith("masked_fill")
    host = [tensor for tensor in tensors if not isinstance(tensor, OnDevice)]
    mixed = [tensor for tensor in host if tensor.dim() or not scalars]
    if mixed and name not in COPYING and not (name in INDEXING and isinstance(args[0], OnDevice)):
        raise RuntimeError(f"{func}: tensors on the host and on the device")


@contextmanager
def waits() -> Iterator[Counter[str]]:
    """Counts the operations within for which the host waits for the device, by name."""
    _waits.clear()
    yield _waits


def to_host(value: Any) -> Any:
    """A tensor's values on the CPU, without a wait."""
    return value.host if isinstance(value, OnDevice) else value


class _Module(_DummyBackendModule):
    """`torch.pretend`: it draws no random numbers, so `torch.random.fork_rng`, which asks every device, finds none."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return []

    def get_rng_state(self, device: Any = None) -> Tensor:
        return torch.empty(0, dtype=torch.uint8)

    def set_rng_state(self, state: Tensor, device: Any = None) -> None:
        pass


def _backend() -> torch.library.Library:
    """Registers the device; once a process, for torch has no way back from a renamed backend."""
    _setup_privateuseone_for_python_backend(NAME, _Module())
    library = torch.library.Library("aten", "IMPL")

    def made(operator: Any) -> Any:
        return lambda *args, **kwargs: OnDevice(operator(*args, **{**kwargs, "device": "cpu", "pin_memory": False}))

    for overload in MADE:
        packet, _, name = overload.partition(".")
        library.impl(overload, made(getattr(getattr(torch.ops.aten, packet), name or "default")), "PrivateUse1")

    def copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
        if not isinstance(source, OnDevice):  # of a tensor that torch makes on the host from numbers
            _waits["copy_from"] += 1
        to_host(target).copy_(to_host(source))
        return target

    library.impl("_copy_from", copy_from, "PrivateUse1")
    return library


def registered(monkeypatch: pytest.MonkeyPatch) -> str:
    """The device's name; `make_fx` traces its tensors until the patch is undone."""
    if MISSING:
        pytest.skip(f"the pretend device needs private parts of torch that this version lacks: {MISSING}")
    monkeypatch.setattr(proxy_tensor, "HANDLED_TYPES", (*proxy_tensor.HANDLED_TYPES, OnDevice))
    monkeypatch.setattr(choosing, "PINNED_FOR", {NAME})
    monkeypatch.setattr(Tensor, "pin_memory", pinned)
    return NAME


# Where tests are collected, and not where a test asks: autograd counts the devices at a process's first backward.
_LIBRARY = None if MISSING else _backend()
