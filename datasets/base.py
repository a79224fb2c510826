"""What every dataset gives: splits with labels, masks and shortcut values, and one test split per environment."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from .as_mask import as_mask
from .on_disk import OnDisk

_Known = Literal["aligned", "random", "conflict", "reversed", "clean"]
_MadeUp = Literal["observed", "exchanged", "removed", "added", "elsewhere"]
Environment = _Known | _MadeUp
ENVIRONMENTS: tuple[Environment, ...] = get_args(_Known)
"""Of a dataset with a known rule, which can render an input with any shortcut value."""
MADE_UP: tuple[Environment, ...] = get_args(_MadeUp)
"""Of images that somebody took: as they are (`observed`), and their twins, made up from masks (`made_up`)."""
VALUED = 200
"""Test inputs that are rendered with every shortcut value."""
CHUNK, NUMBERS_IN_A_CHUNK = 512, 2**22
"""Rows that are read at once from tensors on disk, and fewer where rows are large (83 masks of 224 x 224)."""


class Batch(NamedTuple):
    """Inputs as a network sees them; a pytree, so `torch.func` maps over it.

    Attributes:
        inputs: in [0, 1].
        masks: True where the shortcut is; broadcastable to the inputs.
        draws: by name, what a mitigation's `fit` found for each input and what its `augment` drew for this step.
        touched: flattened positions of an input that some mask of the data set covers; None for anywhere.
        reached: flattened outputs (one channel) of the network's first convolution that `touched` reaches, where the
            engine has computed them.
        areas: how many features each mask covers, counted in the mask's own shape; on the CPU, which so need not wait
            for a GPU's masks. `augment` has it in training, nothing else has.
        core: True where the object is; all False for an input whose object nobody has outlined. None where the data
            set has no core masks, and in the training of a mitigation that does not need them. `touched` says nothing
            of these positions.
    """

    inputs: Float[Tensor, "batch *features"]
    labels: Int[Tensor, "batch"]
    masks: Bool[Tensor, "batch *#features"]
    shortcuts: Int[Tensor, "batch"]
    draws: Mapping[str, Tensor] = {}
    touched: Int[Tensor, "positions"] | None = None
    reached: Int[Tensor, "outputs"] | None = None
    areas: Int[Tensor, "batch"] | None = None
    core: Bool[Tensor, "batch *#features"] | None = None


@dataclass(frozen=True)
class Split:
    """Inputs with everything that is known about them.

    Attributes:
        inputs: float32 in [0, 1], or uint8 in 0..255 where the base is; `batch` gives float32 in [0, 1] either way.
        masks: True exactly where the shortcut is; all False for an input that has none.
        shortcuts: the shortcut value, -1 for an input that has none.
        known: whether somebody has said where the shortcut is, be it nowhere: an empty mask of an input that is not
            known says nothing. None where all are known.
        core: True where the object is that the label names; all False for an input whose object nobody has outlined.
            None where the data set has no core masks.
        planted: by planter, the value of each shortcut that is planted; empty where no planter is at work.

    Raises:
        ValueError: shapes, types, or values that do not fit; the message says which.
    """

    inputs: Shaped[Tensor, "n *features"] | OnDisk
    labels: Int[Tensor, "n"]
    masks: Bool[Tensor, "n *#features"] | OnDisk
    shortcuts: Int[Tensor, "n"]
    _: KW_ONLY
    known: Bool[Tensor, "n"] | None = None
    core: Bool[Tensor, "n *#features"] | None = None
    planted: Mapping[str, Int[Tensor, "n"]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.inputs.dtype not in (torch.uint8, torch.float32):
            raise ValueError(f"inputs are {self.inputs.dtype}: convert them to float32 in [0, 1] or uint8 in 0..255")
        if isinstance(self.inputs, Tensor) and self.inputs.dtype == torch.float32 and len(self):
            low, high = self.inputs.min().item(), self.inputs.max().item()
            if not (low >= 0 and high <= 1):  # written so that NaN fails too
                raise ValueError(f"inputs range over [{low:g}, {high:g}], expected [0, 1]: rescale, or remove NaN")
        for name in ("labels", "shortcuts"):
            values: Tensor = getattr(self, name)
            if values.shape != (len(self),) or values.dtype != torch.int64:
                raise ValueError(
                    f"{name} are {values.dtype} of shape {tuple(values.shape)}, expected int64 of ({len(self)},)"
                )
        if isinstance(self.masks, Tensor):
            object.__setattr__(self, "masks", as_mask(self.masks, self.inputs.shape))
        if self.core is not None:
            object.__setattr__(self, "core", as_mask(self.core, self.inputs.shape))

    def __len__(self) -> int:
        return self.inputs.shape[0]

    def batch(self, index: slice | Int[Tensor, "batch"] = slice(None)) -> Batch:
        """The inputs at `index`, float32 in [0, 1]."""
        inputs, core = as_float(self.inputs[index]), None if self.core is None else self.core[index]
        return Batch(inputs, self.labels[index], self.masks[index], self.shortcuts[index], core=core)

    def rows(self, index: slice | Int[Tensor, "rows"]) -> Split:
        """The split of the inputs at `index`, in memory."""
        known, core = (None if part is None else part[index] for part in (self.known, self.core))
        parts = self.inputs[index], self.labels[index], self.masks[index], self.shortcuts[index]
        planted = {name: values[index] for name, values in self.planted.items()}
        return Split(*parts, known=known, core=core, planted=planted)

    @cached_property
    def shown(self) -> Bool[Tensor, "n"]:
        """Which inputs have a mask, and so a shortcut to show."""
        parts = [self.masks[rows] for rows in chunks(self.masks)]
        return torch.cat([part.flatten(1).any(1) for part in parts])

    def in_memory(self) -> Split:
        """The same split, with all that is on disk read."""
        return replace(self, inputs=self.inputs[:], masks=self.masks[:])

    def to(self, device: torch.device | str) -> Split:
        """The same split on another device, in its memory."""
        whole = self.in_memory()
        parts = {name: getattr(whole, name) for name in ("inputs", "labels", "masks", "shortcuts", "known", "core")}
        moved = {name: part.to(device) for name, part in parts.items() if part is not None}
        return replace(self, **moved, planted={name: values.to(device) for name, values in self.planted.items()})


@dataclass(frozen=True)
class ShortcutDataset:
    """Splits of one draw of a dataset.

    Attributes:
        class_shortcuts: the shortcut value that each class carries in training.
        validation: from the training distribution, never from a test environment.
        environments: test splits over the same base inputs in the same order; one that cannot be rendered is absent.
            Where several shortcuts are planted, also `random_NAME`, in which one planter alone is as in `random`.
        native_range: what 0 and 1 stand for in the recipe's own units, e.g. (0, 255); a tensor where it differs by
            feature. A network's `pixel_range="native"` feeds these.
        clean_train: renders the training inputs without their shortcut, in the same order; None if they cannot be.
        with_value: renders the first `VALUED` test inputs, in the same order, with one shortcut value for all of them;
            of several shortcuts the others are as in `aligned`. None if they cannot be.
    """

    id: str
    seed: int
    class_shortcuts: Int[Tensor, "classes"]
    train: Split
    validation: Split
    environments: Mapping[str, Split]
    native_range: tuple[float | Float[Tensor, "*features"], float | Float[Tensor, "*features"]] = (0.0, 1.0)
    clean_train: Callable[[], Split] | None = field(default=None, repr=False, compare=False)
    with_value: Callable[[int], Split] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        splits = {"train": self.train, "validation": self.validation, **self.environments}
        for name, split in splits.items():
            if len(split) and not (int(split.labels.min()) >= 0 and int(split.labels.max()) < self.classes):
                raise ValueError(
                    f"{self.id}: labels of {name} range over [{int(split.labels.min())}, {int(split.labels.max())}], "
                    f"expected 0..{self.classes - 1}: relabel the inputs"
                )

    @property
    def classes(self) -> int:
        return self.class_shortcuts.shape[0]

    @property
    def minority(self) -> Bool[Tensor, "n"]:
        """Training inputs whose shortcut says another class's value."""
        return (self.train.shortcuts >= 0) & (self.train.shortcuts != self.class_shortcuts[self.train.labels])

    @property
    def features(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.train.inputs.shape[1:])

    def test(self, environment: str) -> Split:
        """The test split of an environment.

        Raises:
            KeyError: this dataset cannot render it.
        """
        if environment not in self.environments:
            raise KeyError(f"{self.id} has no {environment!r} environment; it has {', '.join(self.environments)}")
        return self.environments[environment]

    def without_tests(self) -> ShortcutDataset:
        """What a training may see: everything but the test inputs."""
        return replace(self, environments={}, with_value=None)

    def digest(self) -> str:
        """SHA-256 over every tensor of every split but core masks: 64 hexadecimal digits, the same on every machine.

        Core masks follow from a recipe's rule and its clean images.
        """
        return self._digest

    @cached_property
    def _digest(self) -> str:
        sha = hashlib.sha256(_bytes(self.class_shortcuts))
        tests = sorted(self.environments.items())
        for name, split in (("train", self.train), ("validation", self.validation), *tests):
            for part in ("inputs", "labels", "masks", "shortcuts"):
                tensor: Tensor | OnDisk = getattr(split, part)
                sha.update(f"{name}/{part}{tuple(tensor.shape)}{tensor.dtype}".encode())
                sha.update(_bytes(tensor) if isinstance(tensor, Tensor) else tensor.digest.encode())
            if split.known is not None:
                sha.update(_bytes(split.known))
        return sha.hexdigest()


def chunks(tensor: Shaped[Tensor, "n *features"] | OnDisk) -> tuple[Int[Tensor, "rows"], ...]:
    """The rows of a tensor, as many together as may be read at once."""
    rows = max(1, min(CHUNK, NUMBERS_IN_A_CHUNK // max(1, math.prod(tensor.shape[1:]))))
    return torch.arange(len(tensor)).split(rows)


def generator(seed: int, stream: str) -> np.random.Generator:
    """The generator of one named stream of draws: a new stream never shifts the others."""
    words = np.frombuffer(hashlib.sha256(stream.encode()).digest()[:16], dtype="<u4")
    return np.random.Generator(np.random.PCG64([seed, *words.tolist()]))


def draw_shortcuts(
    environment: Environment,
    labels: Int[np.ndarray, "n"],
    class_shortcuts: Int[np.ndarray, "classes"],
    rng: np.random.Generator,
    correlation: float = 1.0,
) -> Int[np.ndarray, "n"]:
    """Shortcut values for inputs with these labels, by the environment's rule.

    Args:
        class_shortcuts: the value that each class carries; values are 0..max.
        correlation: with this probability an aligned input carries its class's value, else any.

    Returns:
        int64; -1 in `clean`.

    Raises:
        ValueError: an environment without a rule.
    """
    own, values = class_shortcuts[labels], int(class_shortcuts.max()) + 1
    anything = rng.integers(0, values, len(labels))
    match environment:
        case "aligned":
            return np.where(rng.random(len(labels)) < correlation, own, anything)
        case "random":
            return anything
        case "conflict":
            return (own + rng.integers(1, values, len(labels))) % values
        case "reversed":
            turned = class_shortcuts[::-1]
            if (turned == class_shortcuts).mean() >= 0.5:  # classes that share values, such as 0, 1, 0
                turned = (class_shortcuts + max(1, values // 2)) % values
            return turned[labels]
        case "clean":
            return np.full(len(labels), -1)
        case _:
            raise ValueError(f"no rule draws shortcut values of {environment!r}, only of {', '.join(ENVIRONMENTS)}")


def as_float(inputs: Shaped[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """uint8 in 0..255 to float32 in [0, 1]; floats as they are."""
    return inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs


def _bytes(tensor: Tensor) -> bytes | memoryview:
    array = np.ascontiguousarray(tensor.cpu().numpy())
    return array.astype(array.dtype.newbyteorder("<"), copy=False).data.cast("B") if array.size else b""
