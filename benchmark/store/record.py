"""One run's result: made by evaluation, kept as a file, shown in MLflow."""

from __future__ import annotations

import hashlib
from math import inf
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, Strict, field_validator, model_validator

from ...datasets.registry import UnknownName
from ..suite.protocol import PROTOCOLS
from ..suite.stack import Stack
from .provenance import provenance

ELSEWHERE = "trained elsewhere"
"""What stands in a table in place of a mitigation; such a network has no strength."""
Status = Literal["finished", "diverged", "inert", "inapplicable", "failed", "evaluated"]
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256: it names files, so it is nothing else."""
Digest = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
FORMAT: Literal[2] = 2
"""Of a record's file. Version 0.1 had none: its records were in MLflow alone."""

ROUNDING = 1e-4
"""By how much a metric may lie outside its range: it is a mean of float32."""


def range_of(metric: str) -> tuple[float, float]:
    """A metric's least and largest value; any number where no metric has this name: a mitigation may report its own."""
    from ..metrics.base import metrics  # and all metrics, which the names of runs do without

    try:
        known = metrics.named(metric)
    except UnknownName:
        return -inf, inf
    return known.low, known.high


class Record(BaseModel):
    """One run.

    Attributes:
        training: the settings that differ from their defaults, for display.
        mitigation: its id; with `:auto` if its strengths are ratios at initialisation. Where a run explains, the
            counterfactual explainer's id, at strength 0.
        masks: those that the mitigation was given, in words; `dataset` is the one with true masks.
        status: `diverged` if a loss or a parameter was not finite; `inert` if the right-reason term moved no
            parameter at strength > 0; `inapplicable`, and not trained, if the mitigation has nothing to work with on
            this dataset, with the reason in `error`; `failed` with `error`, a traceback. Only `failed` runs are tried
            again. `evaluated`: a network that was trained elsewhere.
        metrics: by metric id; one that cannot be measured is absent.
        curves: by metric id, a value per epoch.
        flips: the first twins on which the prediction flips: test input, prediction in `aligned`, in `random`.
        digest: of the dataset, SHA-256; empty if it could not be drawn.
        provenance: the code and the libraries that trained the run.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    format: Literal[2] = FORMAT
    run_key: Key
    sweep_key: Key
    dataset: str
    network: str
    training: str
    mitigation: str
    strength: Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
    seed: Annotated[NonNegativeInt, Strict()]
    needs: str
    degenerate: bool
    status: Status
    configuration: dict[str, Any]
    dataset_key: Key
    masks: str = "true"
    digest: Digest = ""
    metrics: dict[str, Annotated[float, Strict()]] = {}
    curves: dict[str, list[float]] = {}
    flips: list[tuple[int, int, int]] = []
    error: str = ""
    provenance: dict[str, str] = Field(default_factory=provenance)

    @field_validator("configuration")
    @classmethod
    def _whole(cls, configuration: dict[str, Any]) -> dict[str, Any]:
        """What pages, tables and MLflow read of it must be there."""
        kinds = {"protocol": str, "dataset": dict, "network": dict, "training": dict}
        if wrong := [name for name, kind in kinds.items() if not isinstance(configuration.get(name), kind)]:
            raise ValueError(f"has no {', '.join(wrong)} as a run's configuration has")
        return configuration

    @field_validator("metrics")
    @classmethod
    def _in_range(cls, measured: dict[str, float]) -> dict[str, float]:
        for name, value in measured.items():
            low, high = range_of(name)
            if value < low - ROUNDING or value > high + ROUNDING:
                raise ValueError(f"{name} is {value:g}, expected a number from {low:g} to {high:g}")
        return measured

    @model_validator(mode="after")
    def _as_configured(self) -> Self:
        """The strength, seed and protocol of a run are those of its configuration."""
        for name, value in (("strength", self.strength), ("seed", self.seed)):
            own = self.configuration.get(name, value)
            if not isinstance(own, str) and own != value:  # "auto:1" is the strength 1 of a sweep by itself
                raise ValueError(f"{name} is {value:g}, and {own!r} in the configuration")
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol is {self.protocol!r}; this version knows {', '.join(PROTOCOLS)}")
        return self

    @property
    def stack_key(self) -> str:
        """Shared by the runs of one mitigation in one sweep, whatever its masks."""
        return hashlib.sha256(f"{self.sweep_key} {self.mitigation}".encode()).hexdigest()

    @property
    def protocol(self) -> str:
        """The version of the protocol under which the run was trained."""
        return str(self.configuration["protocol"])

    @staticmethod
    def known_of(stack: Stack, strength: float, seed: int) -> dict[str, Any]:
        """The fields of a run's record that its stack knows before it is trained."""
        return {
            "run_key": stack.key(strength, seed),
            "sweep_key": stack.sweep_key,
            "strength": strength,
            "seed": seed,
            "configuration": stack.configuration(strength, seed),
            "dataset_key": stack.dataset_key(seed),
            **stack.names,
        }

    @classmethod
    def for_run(cls, stack: Stack, strength: float, seed: int, status: Status, **measured: Any) -> Record:
        """The record of one run of a stack."""
        return cls(status=status, **cls.known_of(stack, strength, seed), **measured)
