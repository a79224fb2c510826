"""How a network is trained: the part of a run's configuration that every mitigation shares."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

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
    version: ClassVar[int] = 1

    epochs: Annotated[int, Field(ge=1)] = 50
    batch_size: Annotated[int, Field(ge=1)] = 256
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    shuffle: bool = True

    @property
    def id(self) -> str:
        """The settings that differ from their defaults: `batch_size=64,epochs=2`; empty if none does."""
        changed = self.model_dump(mode="json", exclude_defaults=True)
        return ",".join(f"{key}={changed[key]}" for key in sorted(changed))

    def identity(self) -> dict[str, Any]:
        """The version, and the settings that differ from its defaults: what a run key is made from."""
        return {"version": self.version, **self.model_dump(mode="json", exclude_defaults=True)}
