"""The run-time checker of annotations, shapes included, that `conftest.py` installs for the package's modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, get_args

from beartype import BeartypeConf, beartype

checked = beartype(
    conf=BeartypeConf(
        is_pep484_tower=True,  # an int is a float, as type checkers have it
        is_random=False,  # which item of a list is looked at: drawing it would move Python's random state
    )
)


def check(function: Callable) -> Callable:
    """Checks a function's arguments and result.

    Not checked are names that a module imports under TYPE_CHECKING, which jaxtyping takes as Any; the fields of
    NamedTuples, whose constructors no import hook sees; what a generator yields; and functions within functions, which
    are made anew, checker and all, at every call of the outer one.
    """
    if "<locals>" in function.__qualname__:
        return function
    function.__annotations__ = {
        name: Any if any(map(uncheckable, (hint, *get_args(hint)))) else hint
        for name, hint in function.__annotations__.items()
    }
    return checked(function)


def uncheckable(hint: object) -> bool:
    """Whether beartype refuses the hint: Self outside classes that it decorates, and static protocols."""
    protocol = getattr(hint, "_is_protocol", False) and not getattr(hint, "_is_runtime_protocol", False)
    return hint is Self or protocol
