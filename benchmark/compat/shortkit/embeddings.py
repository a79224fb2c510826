"""What M04 and M07 share: standardisation, and an encoder with its training."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from torch import Tensor, nn
from tqdm import tqdm

from ....datasets.base import Batch
from ....methods.network import Net
from .arrays import as_embeddings


class Encoder(nn.Module):
    """Embeddings, standardised, through a linear layer, ReLU, and dropout; then a linear head.

    Args:
        embeddings: whose means and deviations standardise all others.
        hidden: None for 64, or the embeddings' width if that is less.

    Raises:
        ValueError: embeddings too large to be standardised.
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
        if not (given.mean(0).isfinite() & deviation.isfinite()).all():
            largest = given.abs().max().item()
            raise ValueError(
                f"embeddings reach {largest:g}, too much for {dtype}'s variance: divide them by {largest:g}"
            )
        self.register_buffer("mean", given.mean(0))
        self.register_buffer("deviation", torch.where(deviation > 0, deviation, 1))
        linear = nn.Linear(width, hidden or min(64, width), dtype=dtype)
        self.features = nn.Sequential(linear, nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Linear(linear.out_features, outputs, dtype=dtype)

    def standardised(self, embeddings: Float[np.ndarray, "n width"]) -> Float[Tensor, "n width"]:
        return (torch.tensor(embeddings).to(self.mean) - self.mean) / self.deviation

    @torch.no_grad()
    def transform(self, embeddings: ArrayLike) -> Float[np.ndarray, "n hidden"]:
        """What the head sees, without dropout.

        Raises:
            ValueError: no finite embeddings, or of another width.
        """
        array = as_embeddings(embeddings)
        check_width(array, len(self.mean))
        return self.eval().features(self.standardised(array)).cpu().numpy().astype(array.dtype)


class Encoding:
    """A method that turns embeddings into features once it is fitted."""

    _encoder: Encoder | None = None

    @property
    def _fitted(self) -> bool:
        return self._encoder is not None

    def transform(self, embeddings: ArrayLike) -> Float[np.ndarray, "n hidden"]:
        """The features.

        Raises:
            NotFittedError: before `fit`; a ValueError.
            ValueError: no finite embeddings, or of another width than `fit` had.
        """
        if self._encoder is None:
            raise not_fitted(self)
        return self._encoder.transform(embeddings)


def not_fitted(method: object) -> ValueError:
    """scikit-learn's NotFittedError, which is a ValueError."""
    from sklearn.exceptions import NotFittedError  # here, because the import takes seconds

    return NotFittedError(f"{type(method).__name__} has not been fitted: call fit first")


def check_width(embeddings: Float[np.ndarray, "n width"], fitted: int) -> None:
    """Raises ValueError if the embeddings are not as wide as those that a method was fitted on."""
    if embeddings.shape[1] != fitted:
        raise ValueError(f"embed_dim is {embeddings.shape[1]}, fitted on embed_dim {fitted}: give the same embeddings")


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

    Raises:
        RuntimeError: the weights are not finite afterwards.
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
    if not all(parameter.isfinite().all() for parameter in parameters):
        raise RuntimeError(f"the encoder's weights are not finite after {epochs} epochs: lower lr ({lr:g})")


def batch_of(
    embeddings: Float[Tensor, "n width"], labels: Int[np.ndarray, "n"], shortcuts: Int[np.ndarray, "n"]
) -> Batch:
    """Standardised embeddings in the place of images, without masks."""
    device = embeddings.device
    nowhere = torch.zeros(len(embeddings), 1, dtype=torch.bool, device=device)
    return Batch(embeddings, torch.from_numpy(labels).to(device), nowhere, torch.from_numpy(shortcuts).to(device))
