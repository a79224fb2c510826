"""How a network is trained: the part of a run's configuration that every mitigation shares."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Training(BaseModel):
    """Epochs, batches and optimiser.

    Attributes:
        weight_decay: as torch.optim has it: for `adam` and `sgd` w adds w * theta to the gradient of the mean loss, so
            Ross's 1e-4 ||theta||^2 beside a sum over 256 inputs is 2e-4 / 256.
        momentum: of `sgd`; the others ignore it.
        shuffle: a new order of the inputs in every epoch, or the data set's own order every time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: Annotated[int, Field(ge=1)] = 50
    batch_size: Annotated[int, Field(ge=1)] = 256
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    shuffle: bool = True
