r"""ShortKit-ML's M04: features of embeddings from which no adversary can tell the group (Ganin et al., JMLR 2016).

    min over theta, max over phi:   right answer  -  adversary_weight * mean_n -log r_s(h_n),   r = softmax(phi h)

h is a linear layer of the standardised embedding with ReLU and dropout, s the protected label. The right answer is
mean_n -log p_y of a linear head, if there are task labels. If there are none, it is the mean over inputs and dimensions
of a linear head's squared error in reconstructing the standardised embedding: ShortKit-ML has nothing there, so that
the best features are constant ones.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from ....datasets.base import Batch
from ....methods.base import cross_entropy
from ....methods.mitigations.adversarial_debiasing import adversary_error, refitted_accuracy
from ....methods.network import Net
from .embeddings import Encoder, as_embeddings, batch_of, encoded, train
from .settings import SETTINGS, Count, Dropout, Positive, Seed, Weight, seeded


@dataclass(config=SETTINGS)
class AdversarialDebiasing:
    """Learns features of embeddings that hide the protected label.

    Args:
        hidden_dim: features; None for 64, or the embeddings' width if that is less.
        device: None for the CPU, where the embeddings are.

    Attributes:
        adversary_accuracy_: after `fit`, the accuracy of a logistic regression from features to protected labels,
            fitted anew on one half of the embeddings and scored on the other; all groups weigh the same. Chance is
            1 / the number of protected labels: near it, they are hidden from linear adversaries.

    Raises:
        ValueError: an argument out of its range.
    """

    hidden_dim: Count | None = None
    adversary_weight: Weight = 0.5
    n_epochs: Count = 50
    batch_size: Count = 64
    lr: Positive = 1e-3
    dropout: Dropout = 0.1
    device: str | torch.device | None = None
    random_state: Seed = None

    def fit(
        self,
        embeddings: Float[np.ndarray, "n width"],
        protected_labels: ArrayLike,
        task_labels: ArrayLike | None = None,
    ) -> AdversarialDebiasing:
        """Trains the encoder.

        Raises:
            ValueError: lengths that differ, or one protected label only.
        """
        replace(self)  # validates settings that were changed since the construction
        array = as_embeddings(embeddings)
        values, shortcuts = encoded(protected_labels, array)
        tasks, labels = encoded(np.zeros(len(array)) if task_labels is None else task_labels, array)
        if len(values) < 2:
            raise ValueError(f"protected_labels are all {values[0]}: there is nothing to hide")
        device = torch.device(self.device or "cpu")

        def loss(net: Net, batch: Batch) -> Float[Tensor, ""]:
            hidden = net.features(batch.inputs)
            output = net.head(hidden)
            reconstructs = task_labels is None
            answer = (output - batch.inputs).square().mean() if reconstructs else cross_entropy(output, batch.labels)
            return answer + self.adversary_weight * adversary_error(net, hidden, batch.shortcuts)

        with seeded(self.random_state, device) as generator:
            outputs = array.shape[1] if task_labels is None else len(tasks)
            encoder = Encoder(array, self.hidden_dim, outputs, self.dropout).to(device)
            adversary = nn.Linear(encoder.head.in_features, len(values)).to(encoder.mean)
            more = {f"adversary.{name}": value for name, value in adversary.named_parameters()}
            inputs = batch_of(encoder.standardised(array), labels, shortcuts)
            train(encoder, more, inputs, loss, generator, epochs=self.n_epochs, batch_size=self.batch_size, lr=self.lr)
            order = torch.randperm(len(array), generator=generator).numpy()
        self._encoder = encoder
        hidden = self.transform(array[order]).astype(np.float64)
        self.adversary_accuracy_ = refitted_accuracy(
            hidden, torch.from_numpy(labels[order]), torch.from_numpy(shortcuts[order])
        )
        return self

    def transform(self, embeddings: Float[np.ndarray, "n width"]) -> Float[np.ndarray, "n hidden"]:
        """The features.

        Raises:
            RuntimeError: before `fit`.
        """
        if not hasattr(self, "_encoder"):
            raise RuntimeError("not fitted: call fit first")
        return self._encoder.transform(embeddings)
