"""How errors are said on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def explained() -> Iterator[None]:
    """Errors that a user can mend become one message and exit status 2; others keep their traceback."""
    try:
        yield
    except (ValueError, LookupError, OSError) as error:
        message = error.args[0] if isinstance(error, KeyError) else error
        typer.secho(f"error: {message}", fg="red", err=True)
        raise typer.Exit(2) from error
