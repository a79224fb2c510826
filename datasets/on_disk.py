"""Tensors that stay on disk: rows are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Int, Shaped
from torch import Tensor


class OnDisk:
    """Inputs or masks of a split of which few are in memory at once: photos of a folder, masks drawn from boxes.

    Args:
        shape: of the whole, with its first size the number of rows.
        read: gives the rows at these indices, which are within 0..n-1, in any order.
        digest: of what `read` gives, SHA-256: two tensors with the same digest have the same rows.
        sources: the file of each row, where each row has a file.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        read: Callable[[Int[Tensor, "rows"]], Shaped[Tensor, "rows *features"]],
        digest: str,
        sources: Sequence[str] = (),
    ) -> None:
        self.shape, self.dtype, self.digest, self.sources = torch.Size(shape), dtype, digest, sources
        self._read = read

    def __getitem__(self, index: slice | Int[Tensor, "rows"]) -> Shaped[Tensor, "rows *features"]:
        rows = torch.arange(len(self))[index]
        if not len(rows):
            return torch.empty(0, *self.shape[1:], dtype=self.dtype)
        return self._read(rows)

    def __len__(self) -> int:
        return self.shape[0]
