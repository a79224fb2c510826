"""No password of a tracking server is printed, stored or put into an error."""

from __future__ import annotations

import logging

import pytest
from mlflow_server import free_port
from rrrbench.benchmark.store.addresses import hidden, shown
from rrrbench.benchmark.store.server import Away, away

ADDRESSES = [
    ("http://user:s3cretpw@host:5000/path", "http://host:5000/path"),
    ("http://s3cretpw@host", "http://host"),
    ("http://user:s3cretpw/with/slash@host:5000", "http://host:5000"),
    ("http://user:s3cretpw?q#f@host/p", "http://host/p"),
    ("http://us@er:s3cretpw@x@host/p", "http://host/p"),
    ("http://us@er:a/s3cretpw@host/p", "http://host/p"),
    ("postgresql://user:s3cretpw@host/db", "postgresql://host/db"),
    ("postgresql+psycopg2://user:s3cretpw@host:5432/db?sslmode=require", "postgresql+psycopg2://host:5432/db"),
    ("postgresql://host/db?user=u&password=s3cretpw", "postgresql://host/db"),
    ("https://host/mlflow?token=s3cretpw", "https://host/mlflow"),
    ("https://host/mlflow?access_key=s3cretpw&x=1#s3cretpw", "https://host/mlflow"),
    ("https://host/mlflow#s3cretpw", "https://host/mlflow"),
    ("mysql+pymysql://user:s3cretpw@[::1]:3306/db", "mysql+pymysql://[::1]:3306/db"),
    ("databricks://s3cretpw@profile", "databricks://profile"),
    ("user:s3cretpw@host:5000", "host:5000"),
    ("http://user:s3cretpw@[::1", "http://[::1"),
    ("http://u:p://s3cretpw@host", "http://host"),
]
PLAIN = ["https://host:5000", "sqlite:////a@b/mlflow.db", "sqlite:////p?q/mlflow.db", "file:///a@b/c", "http://h/p"]


@pytest.mark.parametrize(("uri", "expected"), ADDRESSES)
def test_an_address_is_shown_without_its_secrets(uri, expected):
    assert shown(uri) == expected


@pytest.mark.parametrize("uri", PLAIN)
def test_an_address_without_secrets_is_shown_whole(uri):
    assert shown(uri) == uri
    assert hidden(f"no {uri} here", uri) == f"no {uri} here"


@pytest.mark.parametrize("uri", [uri for uri, _ in ADDRESSES])
@pytest.mark.parametrize(
    "said",
    [
        "Max retries exceeded with url: {}", "unsupported URI '{}' for model registry", "Could not parse {!r}",
        "x" * 250 + " {} and more", "{}\nsecond line", "HTTPConnectionPool: {}/api/2.0/mlflow failed",
    ],
)  # fmt: skip
def test_an_error_that_has_the_address_is_said_without_its_secrets(uri, said, monkeypatch):
    monkeypatch.setattr("rrrbench.benchmark.store.server._connect", lambda uri: None)
    with pytest.raises(Away) as raised, away(uri):
        raise RuntimeError(said.format(uri))
    assert "s3cretpw" not in str(raised.value)
    assert raised.value.__suppress_context__, "a traceback would print the cause"


@pytest.mark.parametrize("uri", [uri for uri, _ in ADDRESSES if not uri.endswith("@profile")])
def test_an_address_that_cannot_be_reached_is_away_without_its_secrets(uri):
    port = free_port()
    with (
        pytest.raises(Away) as raised,
        away(uri.replace("host:5000", f"127.0.0.1:{port}").replace("@host", "@127.0.0.1")),
    ):
        raise RuntimeError(f"password authentication failed: {uri}")
    assert "s3cretpw" not in str(raised.value)


@pytest.mark.parametrize("password", ["s3cret%2Fpw", "s3cret%40pw", "s3cret+pw", "s3crét"])
def test_a_password_is_hidden_in_every_way_in_which_it_is_written(password):
    from urllib.parse import unquote

    for way in (password, unquote(password)):
        assert way not in hidden(f"bad password {way!r}", f"http://user:{password}@host")


def test_another_address_in_an_error_is_shown_without_its_user_part():
    assert hidden("at http://a:s3cretpw@b/c", "sqlite:////x.db") == "at http://b/c"


@pytest.mark.parametrize("uri", ["sqlite:////x.db", "http://host", "http://a:s3cretpw@b"])
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("url: //a:s3cretpw@b/c", "url: //b/c"),
        ("url: //a:s3@cretpw@b", "url: //b"),
        ("url: s3://a:s3'cretpw@b/c", "url: s3://b/c"),
        ('url="//a:s3"cretpw@b"', 'url="//b"'),
        ("no http://h/p and a@b", "no http://h/p and a@b"),
    ],
)
def test_any_user_part_in_an_error_is_not_shown(uri, said, expected):
    assert hidden(said, uri) == expected


@pytest.mark.long
@pytest.mark.parametrize("uri", ["http://user:s3cretpw/x@127.0.0.1:9", "http://127.0.0.1:9/?password=s3cretpw",
                                 "nonsense://user:s3cretpw@host", "http://user:s3cretpw@[::1"])  # fmt: skip
def test_the_command_line_prints_and_stores_no_password(uri, tmp_path, monkeypatch, caplog):
    from rrrbench.benchmark.cli import app
    from rrrbench.benchmark.store.records import RecordStore
    from tiny import tiny_suite
    from typer.testing import CliRunner

    from made_up import kept, made_up  # isort: skip

    caplog.set_level(logging.DEBUG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RRRBENCH_HOME", str(tmp_path / "home"))
    text = 'seeds = [0, 1]\n[[sweeps]]\ndataset = { name = "decoy", base = "digits" }\n'
    text += 'network = { name = "mlp", hidden = [8] }\ntraining = { epochs = 2, batch_size = 128 }\n'
    text += '[[sweeps.mitigations]]\nmitigation = "erm"\n'
    text += '[[sweeps.mitigations]]\nmitigation = "rrr"\nstrengths = [0.1, 1.0]\n'
    (tmp_path / "tiny.toml").write_text(text)
    kept(RecordStore(tmp_path / "home"), made_up(suite=tiny_suite()))
    result = CliRunner().invoke(app, ["log", "tiny.toml", "--to", uri])
    assert result.exit_code == 1, result.output
    assert "s3cretpw" not in result.output + caplog.text
    assert not any(b"s3cretpw" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
