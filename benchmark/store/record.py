"""One run's result: what evaluation makes, the outbox keeps, and MLflow stores."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ..suite.stack import Stack

Status = Literal["finished", "diverged", "inert", "inapplicable", "failed"]


class Record(BaseModel):
    """One run.

    Attributes:
        mitigation: its id; with `:auto` if its strengths are ratios at initialisation.
        masks: those that the mitigation was given, in words; `dataset` is the one with true masks.
        status: `diverged` if a loss or a parameter was not finite; `inert` if the right-reason term moved no
            parameter at strength > 0; `inapplicable`, and not trained, if the mitigation has nothing to work with on
            this dataset, with the reason in `error`; `failed` with `error`, a traceback. Only `failed` runs are tried
            again.
        metrics: by metric id; one that cannot be measured is absent.
        curves: by metric id, a value per epoch.
        flips: the first twins on which the prediction flips: test input, prediction in `aligned`, in `random`.
        digest: of the dataset, SHA-256; empty if it could not be drawn.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    run_key: str
    sweep_key: str
    dataset: str
    network: str
    training: str
    mitigation: str
    strength: float
    seed: int
    needs: str
    degenerate: bool
    status: Status
    configuration: dict[str, Any]
    dataset_key: str
    masks: str = "true"
    digest: str = ""
    metrics: dict[str, float] = {}
    curves: dict[str, list[float]] = {}
    flips: list[tuple[int, int, int]] = []
    error: str = ""

    @classmethod
    def for_run(cls, stack: Stack, strength: float, seed: int, status: Status, **measured: Any) -> Record:
        """The record of one run of a stack."""
        return cls(
            run_key=stack.key(strength, seed),
            sweep_key=stack.sweep_key,
            dataset=stack.dataset.with_masks().id,
            masks=stack.dataset.annotation,
            network=stack.network.id,
            training=stack.training.id,
            mitigation=stack.label,
            strength=strength,
            seed=seed,
            needs="+".join(sorted(stack.mitigation.needs)),
            degenerate=stack.mitigation.degenerate,
            status=status,
            configuration=stack.configuration(strength, seed),
            dataset_key=stack.dataset_key(seed),
            **measured,
        )
