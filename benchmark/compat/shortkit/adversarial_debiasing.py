r"""ShortKit-ML's M04: features of embeddings from which no adversary can tell the group (Ganin et al., JMLR 2016).

    min over theta, max over phi:   right answer  -  adversary_weight * mean_n -log r_s(h_n),   r = softmax(phi h)

h is a linear layer of the standardised embedding with ReLU and dropout, s the protected label. The right answer is
mean_n -log p_y of a linear head, if there are task labels. If there are none, it is the mean over inputs and dimensions
of a linear head's squared error in reconstructing the standardised embedding: ShortKit-ML has nothing there, so that
the best features are constant ones.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from ....datasets.base import Batch
from ....methods.base import cross_entropy
from ....methods.mitigations.adversarial_debiasing import adversary_error
from ....methods.network import Net
from .arrays import as_embeddings, encoded
from .embeddings import Encoder, Encoding, batch_of, train
from .probe import accuracy_of_probe, check_groups
from .settings import SETTINGS, Count, Device, Dropout, Positive, Seed, Weight, check_settings, seeded

ADVICE = "Raise adversary_weight or n_epochs, or lower hidden_dim"
WITH_TASKS = "; without task_labels, more of the group goes"


@dataclass(config=SETTINGS)
class AdversarialDebiasing(Encoding):
    """Learns features of embeddings that hide the protected label.

    Args:
        hidden_dim: features; None for 64, or the embeddings' width if that is less.
        device: None for the CPU, where the embeddings are.

    Attributes:
        adversary_accuracy_: after `fit`, the accuracy of a new adversary, a logistic regression from features to
            protected labels: see `probe.Probe`. Near chance, they are hidden from linear adversaries.

    Raises:
        ValueError: an argument out of its range, or of another type.
    """

    hidden_dim: Count | None = None
    adversary_weight: Weight = 0.5
    n_epochs: Count = 50
    batch_size: Count = 64
    lr: Positive = 1e-3
    dropout: Dropout = 0.1
    device: Device = None
    random_state: Seed = None

    def fit(
        self, embeddings: ArrayLike, protected_labels: ArrayLike, task_labels: ArrayLike | None = None
    ) -> AdversarialDebiasing:
        """Trains the encoder. Warns (`GroupStays`) if the protected label can still be read from the features.

        Raises:
            ValueError: embeddings or labels that are none; lengths that differ; one protected label only.
            RuntimeError: the training diverges.
        """
        check_settings(self)
        array = as_embeddings(embeddings)
        values, shortcuts = encoded("protected_labels", protected_labels, len(array))
        no_tasks = np.zeros(len(array), np.int64)
        tasks, labels = encoded("task_labels", no_tasks if task_labels is None else task_labels, len(array))
        if len(values) < 2:
            raise ValueError(
                f"protected_labels are all {values.tolist()[0]!r}: there is nothing to hide, give 2 groups"
            )
        check_groups("protected_labels", shortcuts)
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
        self._encoder = encoder
        advice = ADVICE if task_labels is None else ADVICE + WITH_TASKS
        self.adversary_accuracy_ = accuracy_of_probe(self, array, labels, shortcuts, advice)
        return self

    def fit_transform(
        self, embeddings: ArrayLike, protected_labels: ArrayLike, task_labels: ArrayLike | None = None
    ) -> Float[np.ndarray, "n hidden"]:
        """`fit`, then `transform` of the same embeddings."""
        return self.fit(embeddings, protected_labels, task_labels).transform(embeddings)
