"""Groups: the (label, shortcut value) pairs that occur among the training inputs."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def groups(labels: Int[Tensor, "n"], shortcuts: Int[Tensor, "n"]) -> tuple[Int[Tensor, "n"], Int[Tensor, "groups"]]:
    """Every input's group, and how many inputs each group has."""
    pairs = torch.stack((labels, shortcuts), 1)
    _, index, counts = pairs.unique(dim=0, return_inverse=True, return_counts=True)
    return index, counts


def inverse_shares(
    labels: Int[Tensor, "seeds n"], shortcuts: Int[Tensor, "seeds n"], dtype: torch.dtype
) -> Float[Tensor, "seeds n"]:
    """N / N_g for an input of group g, which has N_g of the N inputs; the mean over inputs is the number of groups."""
    groups_by_seed = [groups(*seed) for seed in zip(labels, shortcuts, strict=True)]
    return torch.stack([len(index) / counts[index].to(dtype) for index, counts in groups_by_seed])


def balancing_weights(
    labels: Int[Tensor, "seeds n"], shortcuts: Int[Tensor, "seeds n"], dtype: torch.dtype
) -> Float[Tensor, "seeds n"]:
    """N / (G N_g) for an input of group g of G groups: the mean over inputs is 1, the sum over a group N / G."""
    shares = inverse_shares(labels, shortcuts, dtype)
    return shares / shares.mean(1, keepdim=True)
