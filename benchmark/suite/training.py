"""Training: the part of a run's configuration that all mitigations share."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ...datasets.as_written import AsWritten

Precision = Literal["float32", "tf32", "bf16"]
"""How numbers are multiplied: in float32, or rounded to TF32 on a GPU (10 bits of the mantissa in place of 23) or to
bfloat16 anywhere (7 bits)."""


class Training(AsWritten):
    """Epochs, batches and optimiser.

    Attributes:
        weight_decay: as in torch.optim: `adam` and `sgd` add weight_decay * theta to the gradient of the mean loss, so
            Ross's 1e-4 ||theta||^2 beside a sum over 256 inputs is 2e-4 / 256.
        momentum: momentum of `sgd`; `adam` and `adamw` ignore it.
        shuffle: draw a new order of the inputs for every epoch, or keep the dataset's order in all epochs.
        precision: `tf32` trains faster on GPUs that have it, and the same as `float32` elsewhere; `bf16` trains faster
            on GPUs and CPUs that multiply bfloat16. All is evaluated in `float32`.
    """

    version: ClassVar[int] = 1

    epochs: Annotated[int, Field(ge=1)] = 50
    batch_size: Annotated[int, Field(ge=1)] = 256
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    shuffle: bool = True
    precision: Precision = "float32"

    @property
    def id(self) -> str:
        """The settings that differ from their defaults: `batch_size=64,epochs=2`; empty if all have their defaults."""
        changed = self.model_dump(mode="json", exclude_defaults=True)
        return ",".join(f"{key}={changed[key]}" for key in sorted(changed))

    def identity(self) -> dict[str, Any]:
        """The version, and the settings that differ from its defaults; part of the run key."""
        return {"version": self.version, **self.model_dump(mode="json", exclude_defaults=True)}
