"""What the methods on embeddings share: checks, standardisation, and an encoder with its training."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from numpy.typing import ArrayLike
from torch import Tensor, nn
from tqdm import tqdm

from ....datasets.base import Batch
from ....methods.network import Net


def as_embeddings(embeddings: ArrayLike) -> Float[np.ndarray, "n width"]:
    """The embeddings, if they are some.

    Raises:
        ValueError: another number of axes, none, integers, or values that are not finite.
    """
    array = np.asarray(embeddings)
    if array.ndim != 2 or not array.size or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise ValueError(f"embeddings are {array.dtype} of shape {array.shape}, expected finite floats of (n, width)")
    return array


def encoded(
    labels: ArrayLike, embeddings: Float[np.ndarray, "n width"]
) -> tuple[Shaped[np.ndarray, "values"], Int[np.ndarray, "n"]]:
    """The distinct labels, sorted, and the index of each one; names are as good as numbers.

    Raises:
        ValueError: not one for each embedding.
    """
    array = np.asarray(labels)
    if array.shape != (len(embeddings),):
        raise ValueError(f"labels of shape {array.shape} for {len(embeddings)} embeddings: give one each")
    return np.unique(array, return_inverse=True)


class Encoder(nn.Module):
    """Embeddings, standardised, through a linear layer, ReLU, and dropout; then a linear head.

    Args:
        embeddings: whose means and deviations standardise all others.
        hidden: None for 64, or the embeddings' width if that is less.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, embeddings: Float[np.ndarray, "n width"], hidden: int | None, outputs: int, dropout: float
    ) -> None:
        super().__init__()
        given = torch.tensor(embeddings)
        width, dtype = given.shape[1], given.dtype
        deviation = given.std(0, correction=0)
        self.register_buffer("mean", given.mean(0))
        self.register_buffer("deviation", torch.where(deviation > 0, deviation, 1))
        linear = nn.Linear(width, hidden or min(64, width), dtype=dtype)
        self.features = nn.Sequential(linear, nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Linear(linear.out_features, outputs, dtype=dtype)

    def standardised(self, embeddings: Float[np.ndarray, "n width"]) -> Float[Tensor, "n width"]:
        return (torch.tensor(embeddings).to(self.mean) - self.mean) / self.deviation

    @torch.no_grad()
    def transform(self, embeddings: Float[np.ndarray, "n width"]) -> Float[np.ndarray, "n hidden"]:
        """What the head sees, without dropout.

        Raises:
            ValueError: embeddings of another width.
        """
        array = as_embeddings(embeddings)
        if array.shape[1] != len(self.mean):
            raise ValueError(f"embeddings of width {array.shape[1]}, fitted on width {len(self.mean)}")
        return self.eval().features(self.standardised(array)).cpu().numpy().astype(array.dtype)


def train(
    encoder: Encoder,
    more: Mapping[str, Tensor],
    inputs: Batch,
    loss: Callable[[Net, Batch], Float[Tensor, ""]],
    generator: torch.Generator,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
) -> None:
    """Adam over the encoder's parameters and `more` of the method's own, in place.

    Args:
        inputs: standardised embeddings in the place of images.
        loss: a mean over the batch.
    """
    net = Net(encoder.train(), {**dict(encoder.named_parameters()), **more})
    parameters, n = list(net.parameters.values()), len(inputs.labels)
    optimizer = torch.optim.Adam(parameters, lr)
    for _ in tqdm(range(epochs), "epochs", leave=False, delay=2):
        for rows in torch.randperm(n, generator=generator).to(inputs.labels.device).split(batch_size):
            batch = Batch(inputs.inputs[rows], inputs.labels[rows], inputs.masks[rows], inputs.shortcuts[rows])
            optimizer.zero_grad()
            loss(net, batch).backward()
            optimizer.step()


def batch_of(
    embeddings: Float[Tensor, "n width"], labels: Int[np.ndarray, "n"], shortcuts: Int[np.ndarray, "n"]
) -> Batch:
    """Standardised embeddings in the place of images, without masks."""
    device = embeddings.device
    nowhere = torch.zeros(len(embeddings), 1, dtype=torch.bool, device=device)
    return Batch(embeddings, torch.from_numpy(labels).to(device), nowhere, torch.from_numpy(shortcuts).to(device))
