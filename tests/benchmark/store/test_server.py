from __future__ import annotations

import socket
import threading
import time

import pytest
from mlflow_server import free_port
from rrrbench.benchmark.store.server import Away, away, client_uri, require_address, shown, sqlite_path, tracking_uri


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://user:s3cret@host:5000/path", "http://host:5000/path"),
        ("postgresql://user:s3c@ret@host/db", "postgresql://host/db"),
        ("https://host:5000", "https://host:5000"),
        ("sqlite:////a@b/mlflow.db", "sqlite:////a@b/mlflow.db"),
    ],
)
def test_an_address_is_shown_without_its_password(uri, expected):
    assert shown(uri) == expected


def test_a_server_that_accepts_no_connection_is_away_without_its_password():
    port = free_port()
    with (
        pytest.raises(Away, match=f"127.0.0.1:{port} does not answer") as raised,
        away(f"http://u:s3cret@127.0.0.1:{port}"),
    ):
        pytest.fail("it was asked")
    assert "s3cret" not in str(raised.value)


def test_whatever_a_server_raises_is_away_without_its_password():
    uri = "databricks://u:s3cret@nowhere"
    with pytest.raises(Away, match=r"RuntimeError: planted at databricks://nowhere$"), away(uri):
        raise RuntimeError(f"planted at {uri}\nand more")


def test_a_question_mark_is_a_character_of_a_file_name(tmp_path):
    (folder := tmp_path / "p?q%#").mkdir()
    uri = f"sqlite:///{folder}/mlflow.db"
    assert sqlite_path(uri) == folder / "mlflow.db"
    reached = sqlite_path(client_uri(uri))
    assert not set("?#%") & set(str(reached))
    assert reached.parent.resolve() == folder
    assert client_uri("sqlite:////tmp/mlflow.db") == "sqlite:////tmp/mlflow.db"


ODD = [
    "http://bob:s3cr/etpw@127.0.0.1:5998",
    "http://bob:12/etpw@127.0.0.1:5998",
    "http://bob:1?2/etpw@127.0.0.1:5998",
    "http://bob:1#2etpw@127.0.0.1:5998",
    "http://bob/etpw@127.0.0.1:5998",
    "postgresql://bob:s3cr/etpw@127.0.0.1/db",
    "http://bob:etpw@127.0.0.1:port",
    "http://bob:etpw@127.0.0.1:99999",
    "http://bob:etpw@[::1",
]


@pytest.mark.parametrize("uri", ODD)
def test_an_address_that_cannot_be_told_apart_is_away_and_says_the_way_out(uri):
    with pytest.raises(Away, match=r"MLFLOW_TRACKING_URI.*percent-encode") as raised, away(uri):
        pytest.fail("it was asked")
    before = uri.partition("//")[2].rpartition("@")[0]
    assert not [part for part in (before, "bob", "s3cr", "etpw") if part in str(raised.value)]


def test_a_percent_encoded_password_is_an_address():
    port = free_port()
    with pytest.raises(Away, match=f"127.0.0.1:{port} does not answer"), away(f"http://bob:s3%2Fcr@127.0.0.1:{port}"):
        pytest.fail("it was asked")


@pytest.mark.parametrize("scheme", ["http", "https", "postgresql", "mysql+pymysql"])
def test_a_server_that_accepts_and_never_answers_is_away_in_seconds(scheme, monkeypatch):
    monkeypatch.setattr("rrrbench.benchmark.store.server.ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        begin, port = time.monotonic(), mute.getsockname()[1]
        with (
            pytest.raises(Away, match=f"127.0.0.1:{port} accepts .* says nothing"),
            away(f"{scheme}://127.0.0.1:{port}"),
        ):
            pytest.fail("it was asked")
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("answer", [b"HTTP/1.0 503 busy\r\n\r\n", b"nonsense", b""])
@pytest.mark.parametrize("scheme", ["http", "https", "postgresql", "mysql"])
def test_whatever_a_server_answers_is_left_to_mlflow(scheme, answer):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection = server.accept()[0]
            connection.sendall(answer)
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        with away(f"{scheme}://127.0.0.1:{server.getsockname()[1]}"):
            asked = True
        thread.join()
    assert asked


@pytest.mark.parametrize(
    "uri",
    ["http://host:5000", "https://u:p@host/path", "sqlite:////a/b.db", "postgresql+psycopg2://u@host/db", "databricks"],
)
def test_an_address_that_mlflow_logs_to_is_taken_as_given(uri):
    assert require_address(uri) == uri


def test_a_sqlite_file_is_named_with_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert require_address("sqlite:///own.db") == f"sqlite:///{tmp_path / 'own.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///own.db")
    assert tracking_uri(tmp_path / "home") == f"sqlite:///{tmp_path / 'own.db'}"


@pytest.mark.parametrize("uri", ["", "x", "://x", "http://", "http:/x", "//host", "http:/bob:s3cret@x"])
def test_what_is_no_address_is_refused_without_its_password(uri):
    with pytest.raises(ValueError, match="is no address of a tracking server: give http://HOST:PORT") as error:
        require_address(uri)
    assert "s3cret" not in str(error.value)
