from __future__ import annotations

import pytest
from mlflow_server import free_port
from rrrbench.benchmark.store.server import Away, away, client_uri, shown, sqlite_path


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
