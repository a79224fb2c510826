"""Paths on the command line: what stands there is a file or a folder, and what is to be written has a place."""

from __future__ import annotations

from pathlib import Path

import typer

from .errors import shortened


def file_to_write(given: str) -> Path:
    """A file whose folder is there.

    Raises:
        BadParameter: an empty name, a folder, or a file in a folder that is not there.
    """
    path = _named(given)
    if path.is_dir():
        raise typer.BadParameter(f"{shortened(given)!r} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"{shortened(given)!r}: there is no folder {str(path.parent)!r}: make it first")
    return path


def folder_to_write(given: str) -> Path:
    """A folder, which need not be there.

    Raises:
        BadParameter: an empty name, or a file in its way.
    """
    path = _named(given)
    standing = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not standing.is_dir():
        raise typer.BadParameter(f"{shortened(given)!r}: {str(standing)!r} is a file: name a folder")
    return path


def python_file(given: str) -> Path:
    """A Python file that is there.

    Raises:
        BadParameter: an empty name, a folder, no file, or a file of another kind.
    """
    path = _named(given)
    if path.is_dir():
        raise typer.BadParameter(f"{shortened(given)!r} is a folder: name a Python file in it")
    if path.suffix != ".py":
        raise typer.BadParameter(f"{shortened(given)!r} is no Python file: its name must end in .py")
    return path


def submitted_file(given: str) -> Path:
    """The Python file of a submission, or its row."""
    path = _named(given)
    return path if path.suffix == ".json" and not path.is_dir() else python_file(given)


def _named(given: str) -> Path:
    """The path that was given.

    Raises:
        BadParameter: it names nothing, or nothing that a file system can hold.
    """
    if not given.strip():
        raise typer.BadParameter(f"{given!r} names no file or folder: give a path")
    if "\0" in given:
        raise typer.BadParameter(f"{given!r} has a character that no path can have: give another path")
    try:
        Path(given).exists()
    except OSError as error:
        raise typer.BadParameter(f"{shortened(given)!r}: {error.strerror}: give another path") from error
    return Path(given)
