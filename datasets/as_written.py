"""Models whose values are what was written: no truth value or text is read as a number, and no number as another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

LARGEST = 2**63 - 1
"""Of the whole numbers that seeds, shapes and files can hold."""
SMALLEST_FLOAT, LARGEST_FLOAT = 1.1754944e-38, 3.4028234e38
"""Sizes of the numbers that float32 computes with: a smaller number is 0 there, and a larger infinite."""


class Fault(NamedTuple):
    """A value that was taken for another, and what to write instead."""

    place: tuple[str | int, ...]
    given: Any
    reason: str


class AsWritten(BaseModel):
    """A frozen model that refuses unknown fields, and `true` or 1.0 for 1, `"3"` for 3, infinity, NaN and -0.0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _as_written(cls, given: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        taken = validate(given)
        if isinstance(given, Mapping):
            values = {name: getattr(taken, name) for name in given if name in cls.model_fields}
            faults = [
                InitErrorDetails(
                    type=PydanticCustomError("as_written", "{reason}", {"reason": fault.reason}),
                    loc=fault.place,
                    input=fault.given,
                )
                for name, value in values.items()
                for fault in _faults(given[name], value, (name,))
            ]
            if faults:
                raise ValidationError.from_exception_data(cls.__name__, faults)
        return taken


def _faults(given: Any, taken: Any, place: tuple[str | int, ...]) -> Iterator[Fault]:
    """The values within `given` that were taken for values of another kind."""
    if isinstance(given, list | tuple) and isinstance(taken, list | tuple):
        for i, (one, as_taken) in enumerate(zip(given, taken, strict=False)):
            yield from _faults(one, as_taken, (*place, i))
    elif isinstance(given, Mapping) and isinstance(taken, Mapping):
        for key in given.keys() & taken.keys():
            yield from _faults(given[key], taken[key], (*place, key))
    elif reason := _reason(given, taken):
        yield Fault(place, given, reason)


def _reason(given: Any, taken: Any) -> str:
    """Why a value is not what was written; empty if it is."""
    kinds = _kind(given), _kind(taken)
    match kinds:
        case None, _:
            return ""
        case _, "bool" if kinds[0] != "bool":
            return "expected true or false"
        case "bool", "int" | "float":
            return f"expected a number: write {int(given)}"
        case "str", "int" | "float":
            return f"expected a number: write {given.strip()} without quotes"
        case "float", "int":
            return f"expected a whole number: write {taken}"
        case _, "float" if not math.isfinite(taken):
            return "expected a finite number"
        case _, "float" if taken and not SMALLEST_FLOAT <= abs(taken) <= LARGEST_FLOAT:
            return f"expected 0 or a number of {SMALLEST_FLOAT:g} to {LARGEST_FLOAT:g}, which float32 can hold"
        case _, "float" if taken == 0 and math.copysign(1, taken) < 0:
            return "minus zero would be another run than zero: write 0.0"
        case _, "int" if abs(taken) > LARGEST:
            return "expected a number below 2^63"
    return ""


def _kind(value: Any) -> str | None:
    return next((kind.__name__ for kind in (bool, int, float, str) if isinstance(value, kind)), None)


def _not_empty(given: tuple[float, float]) -> tuple[float, float]:
    low, high = given
    if not high > low:
        raise ValueError(f"({low:g}, {high:g}) is empty: give (low, high), e.g. [0, 255]")
    return given


def _two(given: Any) -> Any:
    if isinstance(given, list | tuple) and len(given) != 2:
        raise ValueError(f"expected two numbers, not {len(given)}: give (low, high), e.g. [0, 255]")
    return given


ValueRange = Annotated[tuple[float, float], BeforeValidator(_two), AfterValidator(_not_empty)]
"""The least and the largest value of pixels, (low, high)."""
