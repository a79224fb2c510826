"""The run-time checker of annotations, shapes included, that `conftest.py` installs for the package's modules."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Self, get_args

import jaxtyping
from beartype import BeartypeConf, beartype

checked = beartype(
    conf=BeartypeConf(
        is_pep484_tower=True,  # an int is a float, as type checkers have it
        is_random=False,  # which item of a list is looked at: drawing it would move Python's random state
    )
)


wrapped = jaxtyping.jaxtyped


def jaxtyped(function: Any = None, *, typechecker: Callable) -> Any:
    """jaxtyping's decorator, for classes and for functions whose annotations name an array; others stay as they are.

    Four of five calls are of others, which the type checker knows without running them, and a checked call takes some
    60 microseconds.
    """
    if function is None:
        return partial(jaxtyped, typechecker=typechecker)
    return wrapped(function, typechecker=typechecker) if isinstance(function, type) or arrays(function) else function


def arrays(function: Callable) -> bool:
    """Whether an annotation of the function names an array type, or an alias of the module for one."""
    names = set(re.findall(r"\w+", " ".join(map(str, function.__annotations__.values()))))
    return any(is_array(function.__globals__.get(name)) for name in names)


def is_array(hint: object) -> bool:
    """Whether a global is a type of arrays, jaxtyping's maker of such types (`Float`), or contains one."""
    return getattr(hint, "__module__", "") == "jaxtyping" or any(map(is_array, get_args(hint)))


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
