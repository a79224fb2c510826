r"""ShortKit-ML's M07: Correct-N-Contrast on embeddings (Zhang et al., ICML 2022).

    loss = (1 - contrastive_weight) * mean_n -log p_y(x_n)  +  contrastive_weight * mean_n a_n c_n

with c_n and a_n of `methods.mitigations.contrastive_debiasing`: positives have the task label and another group,
negatives another task label and the same group, and every positive is a target. The features are a linear layer of the
standardised embedding with ReLU and dropout. Groups are given, so the paper's first stage, which predicts them, is not
here.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from pydantic.dataclasses import dataclass
from torch import Tensor

from ....datasets.base import Batch
from ....methods.mitigations.contrastive_debiasing import ContrastiveDebiasing as Contrast
from ....methods.network import Net
from .embeddings import Encoder, as_embeddings, batch_of, encoded, train
from .settings import SETTINGS, Count, Dropout, Positive, Seed, Share, seeded


@dataclass(config=SETTINGS)
class ContrastiveDebiasing:
    """Learns features of embeddings in which one task label's groups lie together.

    Args:
        hidden_dim: features; None for 64, or the embeddings' width if that is less.
        use_task_loss: False leaves the first term out, and the second alone, with weight 1.
        batch_size: one step of the optimiser for each batch; pairs are drawn from it.
        device: None for the CPU, where the embeddings are.
        pairs: positives, and negatives, of each input in each step.

    Raises:
        ValueError: an argument out of its range.
    """

    hidden_dim: Count | None = None
    temperature: Positive = 0.05
    contrastive_weight: Share = 0.75
    use_task_loss: bool = True
    n_epochs: Count = 50
    batch_size: Count = 64
    lr: Positive = 1e-3
    dropout: Dropout = 0.1
    device: str | torch.device | None = None
    random_state: Seed = None
    _: KW_ONLY
    pairs: Count = 16

    def fit(
        self, embeddings: Float[np.ndarray, "n width"], task_labels: ArrayLike, group_labels: ArrayLike
    ) -> ContrastiveDebiasing:
        """Trains the encoder.

        Raises:
            ValueError: lengths that differ, one task label only, or a task label that occurs in one group only.
        """
        replace(self)  # validates settings that were changed since the construction
        array = as_embeddings(embeddings)
        (tasks, labels), (_, shortcuts) = encoded(task_labels, array), encoded(group_labels, array)
        alone = [task for index, task in enumerate(tasks.tolist()) if len(np.unique(shortcuts[labels == index])) < 2]
        if len(tasks) < 2 or alone:
            raise ValueError(
                f"task labels {tasks.tolist()}, of which {alone} occur in one group only: contrast needs at least "
                "two task labels, each in two groups or more"
            )
        device, method = torch.device(self.device or "cpu"), Contrast(temperature=self.temperature, pairs=self.pairs)
        weight = self.contrastive_weight if self.use_task_loss else 1.0

        with seeded(self.random_state, device) as generator:

            def loss(net: Net, batch: Batch) -> Float[Tensor, ""]:
                terms = method.terms(net, method.augment(batch, len(tasks), generator), torch.tensor(weight))
                return (1 - weight) * terms.right_answer + terms.right_reason

            encoder = Encoder(array, self.hidden_dim, len(tasks), self.dropout).to(device)
            inputs = batch_of(encoder.standardised(array), labels, shortcuts)
            train(encoder, {}, inputs, loss, generator, epochs=self.n_epochs, batch_size=self.batch_size, lr=self.lr)
        self._encoder = encoder
        return self

    def transform(self, embeddings: Float[np.ndarray, "n width"]) -> Float[np.ndarray, "n hidden"]:
        """The features.

        Raises:
            RuntimeError: before `fit`.
        """
        if not hasattr(self, "_encoder"):
            raise RuntimeError("not fitted: call fit first")
        return self._encoder.transform(embeddings)
