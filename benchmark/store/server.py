"""Tracking servers: their addresses, and whether they answer."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit

from .addresses import LOCAL, hidden
from .addresses import shown as shown
from .sqlite import unreadable

SQLITE = "sqlite:///"
CONNECT_SECONDS = 5.0
"""How long a server may take to accept a connection."""
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
ANSWER_SECONDS = 5.0
"""How long a server that accepted a connection may take to say anything."""
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "20", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
"""MLflow waits for minutes by default; what is not delivered now is delivered by `rrrbench log`."""
QUIET = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
"""MLflow prints less."""
KEPT = {"MLFLOW_DISABLE_TELEMETRY": "true"}
"""MLflow would write into the user's own folder, and tell its makers."""


class Away(Exception):
    """A tracking server that cannot be used now; the message says why, and names no password."""


def tracking_uri(home: Path) -> str:
    """`MLFLOW_TRACKING_URI`, else the sqlite file in the home."""
    named = os.environ.get("MLFLOW_TRACKING_URI")
    return absolute(named) if named else f"{SQLITE}{home.absolute() / 'mlflow.db'}"


def absolute(uri: str) -> str:
    """The address with the whole path of a sqlite file, which MLflow needs."""
    return f"{SQLITE}{sqlite_path(uri).absolute()}" if is_sqlite(uri) else uri


def require_address(uri: str) -> str:
    """Returns the address of a tracking server, if it is one by its form; whether MLflow knows its scheme, MLflow says.

    Raises:
        ValueError: nothing, or a path.
    """
    scheme, _, rest = uri.partition("://")
    if uri == "databricks" or (scheme and rest.strip("/")):
        return absolute(uri)
    raise ValueError(
        f"{shown(uri)!r} is no address of a tracking server: give http://HOST:PORT, sqlite:///FILE or postgresql://…"
    )


def is_shared() -> bool:
    """Whether a server was named, which others may log to as well."""
    return bool(os.environ.get("MLFLOW_TRACKING_URI"))


def is_sqlite(uri: str) -> bool:
    return uri.startswith(SQLITE)


def sqlite_path(uri: str) -> Path:
    """The file of a sqlite address; `?` is a character of its name."""
    return Path(uri.removeprefix(SQLITE))


def client_uri(uri: str) -> str:
    """The address for MLflow's client; a sqlite file in a folder with `?`, `#` or `%` in its name is reached by a link.

    SQLAlchemy and MLflow read these characters of an address in different ways.
    """
    if not is_sqlite(uri) or not set("?#%") & set(uri):
        return uri
    path = sqlite_path(uri).absolute()
    return f"{SQLITE}{_link(path.parent) / path.name}"


@cache
def _link(folder: Path) -> Path:
    beside = Path(tempfile.mkdtemp(prefix="rrrbench-"))
    atexit.register(shutil.rmtree, beside, ignore_errors=True)
    link = beside / "home"
    link.symlink_to(folder)
    return link


def patient() -> None:
    """Sets how long MLflow waits and how much it prints, where the user has not."""
    for name, value in (PATIENCE | QUIET | KEPT).items():
        os.environ.setdefault(name, value)
    logging.getLogger("mlflow").setLevel(logging.ERROR)  # it reports every table and every repeated request
    logging.getLogger("alembic").setLevel(logging.WARNING)


@contextmanager
def away(uri: str) -> Iterator[None]:
    """Whatever a tracking server raises, as `Away`; a server that accepts no connection is not waited for.

    Raises:
        Away: the server cannot be used.
    """
    _connect(uri)
    try:
        yield
    except Away:
        raise
    except Exception as error:  # MLflow, SQLAlchemy, requests, boto, … each raise their own
        if is_sqlite(uri) and (why := unreadable(path := sqlite_path(uri))):
            raise Away(f"{path} {why}: move it away first") from error
        raise Away(f"{type(error).__name__}: {reason_of(error, uri)}") from None  # its traceback may have the password


def reason_of(error: Exception, uri: str) -> str:
    """The first line of an error, without the secrets of the server's address."""
    return (hidden(str(error), uri).strip().splitlines() or ["no reason given"])[0][:300]


def _connect(uri: str) -> None:
    """Asks a server for any sign of life, once.

    Raises:
        Away: it gives none, or the address does not say which server it is.
    """
    if uri.startswith(LOCAL):
        return
    try:
        parts = urlsplit(uri)
        host, given = parts.hostname, parts.port
        if "@" in parts.path + parts.query + parts.fragment:
            raise ValueError("the @ may end a password, or be a character of the path")
    except ValueError:  # whose message may have a part of a password, where a slash is in it
        raise Away(
            f"{shown(uri)}, as MLFLOW_TRACKING_URI or --to has it, does not read as an address: percent-encode / ? # @ "
            "where they are characters of a user, password or path (%2F for /), and write [ ] around IPv6"
        ) from None
    scheme = parts.scheme.partition("+")[0]
    if scheme not in PORTS or not host:
        return
    port = given or PORTS[scheme]
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS) as connection:
            _await_answer(connection, scheme, parts)
    except (OSError, UnicodeError) as error:
        raise Away(f"{host}:{port} does not answer ({error})") from None


def _await_answer(connection: socket.socket, scheme: str, address: SplitResult) -> None:
    """Waits for the first byte of any answer; what it means, or why there is none, is left to MLflow.

    Raises:
        Away: nothing came in time.
    """
    health = quote(f"{address.path.rstrip('/')}/health", safe="/%")
    request = f"GET {health} HTTP/1.0\r\nHost: {address.netloc.rpartition('@')[2]}\r\n\r\n".encode()
    greetings = {
        "http": request,
        "https": request,
        "postgresql": b"\x00\x00\x00\x08\x04\xd2\x16\x2f",  # SSLRequest, answered by one byte before any password
        "mysql": b"",  # the server speaks first
    }
    if scheme not in greetings:
        return
    connection.settimeout(ANSWER_SECONDS)
    try:
        if scheme == "https":
            connection = ssl.create_default_context().wrap_socket(connection, server_hostname=address.hostname)
        connection.sendall(greetings[scheme])
        connection.recv(1)
    except TimeoutError:
        where = f"{address.hostname}:{address.port or PORTS[scheme]}"
        raise Away(f"{where} accepts connections and says nothing for {ANSWER_SECONDS:g} s") from None
    except OSError:  # a certificate that MLflow may be told to trust, a connection that is reset
        pass
    finally:
        connection.close()
