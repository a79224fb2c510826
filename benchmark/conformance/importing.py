"""Imports a Python file from outside the package, whose classes register themselves."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


class Refused(ValueError):
    """A file that cannot be checked, or be a row of the leaderboard; the message says why."""


def imported(path: Path) -> ModuleType:
    """Imports the file under a name of its own.

    Raises:
        FileNotFoundError: there is no such file.
        Refused: it is no Python file, or raises or exits when it is imported.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: `rrrbench new mitigation NAME` writes a starting file")
    spec = importlib.util.spec_from_file_location(f"checked_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise Refused(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except SystemExit as error:
        raise Refused(f"{path} calls sys.exit({error.code!r}) when it is imported: remove it") from error
    except Exception as error:
        raise Refused(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Refused(f"{path} raises {type(error).__name__}: {error} when it is imported: mend it") from error
    return module
