"""Misspelt keywords of the functions that a Python session calls, answered with the nearest known ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from .registry import nearest

P = ParamSpec("P")
R = TypeVar("R")


def knowing_its_keywords(*further: Callable[..., Any]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator of a function that refuses unknown keywords with the nearest known one.

    Args:
        further: functions to which the decorated function passes its `**options`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = [one for given in (function, *further) for one in inspect.signature(given).parameters.values()]
        known = list(dict.fromkeys(one.name for one in parameters if one.kind is not one.VAR_KEYWORD))

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name, value in kwargs.items():
                if name not in known:
                    called = function.__name__
                    raise TypeError(f"{called}(..., {name}={value!r}): no such argument; {nearest(name, known)}")
            return function(*args, **kwargs)

        return checked

    return decorate
