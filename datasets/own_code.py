"""Code of the user's own: Python files that a command line or a Python call names, and never a suite's text.

`--with my_net.py` loads a file: its classes register themselves, and a suite may name its functions (`my_net:build`).
`FILE.py:NAME` on a command line loads the file and takes one function of it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any


class Refused(ValueError):
    """A file that cannot be imported, checked, or be a row of the leaderboard; the message says why."""


@dataclass(frozen=True)
class OwnFile:
    """A loaded file, as it was when it was read; pickled, it takes its source along to other processes and machines."""

    path: Path
    source: bytes

    @property
    def module(self) -> str:
        """The name under which other loaded files import it, and under which suites name its functions."""
        return self.path.stem

    @cached_property
    def imports(self) -> frozenset[str]:
        """First names of the modules that the file imports, anywhere in its code."""
        nodes = list(ast.walk(ast.parse(self.source)))
        named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        named |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
        return frozenset(name.partition(".")[0] for name in named)

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.source).hexdigest()


_LOADED: dict[str, OwnFile] = {}


def loaded() -> tuple[OwnFile, ...]:
    """The files that this process has loaded, in their order: what another process needs to `restore`."""
    return tuple(_LOADED.values())


def load(paths: Iterable[Path]) -> tuple[OwnFile, ...]:
    """Imports each file as a module of its own name; a file that is loaded already, and has not changed, is kept.

    A file may import the files before it by their names.

    Raises:
        FileNotFoundError: there is no such file.
        Refused: it cannot be imported, its name is the name of another module, or it imports a file beside it that was
            not loaded before it.
    """
    files = tuple(_read(path) for path in paths)
    for position, file in enumerate(files):
        _require_imports_loaded(file, {*_LOADED, *(earlier.module for earlier in files[: position + 1])})
    restore(files)
    return files


def load_module(path: Path) -> ModuleType:
    """Loads a file, and gives the module that it has become; its digest is part of its runs' keys.

    Raises:
        FileNotFoundError, Refused: as `load`.
    """
    (file,) = load([path])
    return sys.modules[file.module]


def restore(files: Iterable[OwnFile]) -> None:
    """Imports files from the source that they were loaded with, whatever stands at their paths now.

    Raises:
        Refused: as `load`.
    """
    for file in files:
        if _LOADED.get(file.module) != file:
            _require_free_name(file)
            before = dict(_LOADED)
            _LOADED[file.module] = file  # its classes ask for its digest
            try:
                _executed(file.path, file.source, file.module)
            except BaseException:
                _LOADED.clear()
                _LOADED.update(before)
                raise


def digest_of(module: str) -> str:
    """SHA-256 of a loaded file, with the loaded files that it imports, if any; empty if none is called so."""
    if module not in _LOADED:
        return ""
    seen = [module]
    for name in seen:  # grows
        seen += [other for other in _LOADED if other in _LOADED[name].imports and other not in seen]
    own, *others = (_LOADED[name].sha256 for name in seen)
    return own if not others else hashlib.sha256(" ".join([own, *sorted(others)]).encode()).hexdigest()


def function(spec: str) -> Callable[..., Any]:
    """Loads the file of `FILE.py:NAME` and takes its function, or class, NAME.

    Raises:
        FileNotFoundError: there is no such file.
        Refused: the text has no such form, the file cannot be imported, or it defines no such function.
    """
    path, colon, name = spec.rpartition(":")
    if not colon or not path.endswith(".py") or not name:
        raise Refused(f"{spec!r} names no function: write FILE.py:NAME, such as my_net.py:build")
    (file,) = load([Path(path)])
    return defined(file.module, name)


def defined(module: str, name: str) -> Callable[..., Any]:
    """The function, or class, that an imported module defines; what it imports from elsewhere is not its own.

    Raises:
        Refused: it defines no such function; the message lists those that it defines.
    """
    found = sys.modules[module]
    own = {
        key: value for key, value in vars(found).items()
        if callable(value) and getattr(value, "__module__", None) == found.__name__
    }  # fmt: skip
    if name not in own:
        listed = f"it defines {', '.join(own)}" if own else "it defines none"
        raise Refused(f"{found.__file__} defines no function {name!r}: {listed}")
    return own[name]


def imported(path: Path) -> ModuleType:
    """Imports a file to be checked under a name that no other module has; `loaded` does not list it.

    Raises:
        FileNotFoundError: there is no such file.
        Refused: it is no Python file, or raises or exits when it is imported.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: `rrrbench new mitigation NAME` writes a starting file")
    return _executed(path, path.read_bytes(), f"checked_{path.stem}")


@contextmanager
def temporary() -> Iterator[None]:
    """Forgets, at the end of the block, the files that were loaded within it: for tests and notebooks."""
    before = dict(_LOADED)
    try:
        yield
    finally:
        for name in _LOADED.keys() - before.keys():
            sys.modules.pop(name, None)
        _LOADED.clear()
        _LOADED.update(before)


def _read(path: Path) -> OwnFile:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: give the path of a Python file, such as my_net.py")
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise Refused(f"{path} is not a Python file that can be imported by its name: call it such as my_net.py")
    return OwnFile(path.absolute(), path.read_bytes())


def _require_free_name(file: OwnFile) -> None:
    """Raises Refused if another module has the file's name: one would be imported in place of the other."""
    known = _LOADED.get(file.module)
    if known is not None:
        origin = str(known.path)
    else:
        spec = importlib.util.find_spec(file.module)
        origin = None if spec is None else spec.origin or "Python"
    if origin is not None and Path(origin).resolve() != file.path.resolve():
        raise Refused(f"{file.path}: a module {file.module!r} is there already ({origin}): give the file another name")


def _require_imports_loaded(file: OwnFile, known: Collection[str]) -> None:
    """Raises Refused if a file imports a file of its folder, or of the current folder, whose name is not in `known`.

    Such a file would not be in the key of a run: runs of its older content would count as finished.
    """
    try:
        names = sorted(file.imports - set(known))
    except (SyntaxError, ValueError):
        return  # which its execution says better
    for name in names:
        for beside in (file.path.with_name(f"{name}.py"), Path.cwd() / f"{name}.py"):
            if beside.is_file() and (_origin(name) or beside).resolve() == beside.resolve():
                raise Refused(
                    f"{file.path} imports {beside}, which is not in the key of its runs, so that a change of it would "
                    f"go unnoticed: give it too, before the file that imports it: --with {beside.name} "
                    f"--with {file.path.name}"
                )


def _origin(name: str) -> Path | None:
    """The file that Python would import a module from, if it finds one; `Python` for a module without a file."""
    if (module := sys.modules.get(name)) is not None:
        return Path(getattr(module, "__file__", None) or "Python")
    spec = importlib.util.find_spec(name)
    return None if spec is None else Path(spec.origin or "Python")


def _executed(path: Path, source: bytes, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise Refused(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except BaseException as error:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        if isinstance(error, SystemExit):
            raise Refused(f"{path} calls sys.exit({error.code!r}) when it is imported: remove it") from error
        if isinstance(error, Exception):
            raise Refused(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
        if isinstance(error, KeyboardInterrupt):
            raise
        raise Refused(f"{path} raises {type(error).__name__}: {error} when it is imported: mend it") from error
    return module
