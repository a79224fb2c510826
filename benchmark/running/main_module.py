"""The program that called rrrbench, which the processes that rrrbench starts leave alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def main_module_left_alone() -> Iterator[None]:
    """Processes that are started within the block do not run the caller's script again.

    Python would import it in each of them, for the definitions that it may have. A script that calls `rrrbench.sweep`
    outside of `if __name__ == "__main__"` would then train once more in each of them.
    """
    main = sys.modules["__main__"]
    file = vars(main).pop("__file__", None)
    try:
        yield
    finally:
        if file is not None:
            main.__file__ = file
