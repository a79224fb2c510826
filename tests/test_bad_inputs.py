"""Bad inputs at every door of the command line: suites, options, data, records and submissions.

Whatever is bad is refused with a message that names the thing, the value and the way out: no traceback, an exit status,
and no file outside the folder of results.
"""

# ruff: noqa: E501 - a bad input a line
from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomli_w
from rrrbench.benchmark import cli
from rrrbench.benchmark.conformance import measuring
from rrrbench.benchmark.suite.loading import parse_suite
from typer.testing import CliRunner, Result

LONG = "x" * 5000
RESULTS = Path("work/results")
Refused = Callable[..., Result]


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every file outside the folder of results, with its size and time."""
    found = (path for path in folder.rglob("*") if folder / RESULTS not in path.parents)
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in found if not path.is_dir()}


@pytest.fixture
def refused(tmp_path, monkeypatch) -> Refused:
    """Runs a command in an empty folder, and asserts that it refuses with a message that matches every pattern."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("RRRBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MPLCONFIGDIR", "/tmp")
    for name in ("MLFLOW_TRACKING_URI", "RRRBENCH_HOME"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str, said: tuple[str, ...] = (), status: tuple[int, ...] = (2,)) -> Result:
        before = files(tmp_path)
        result = CliRunner().invoke(cli.app, list(words), env={"TERMINAL_WIDTH": "10000", "COLUMNS": "10000"})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code in status, result.output
        message = " ".join(re.sub("[─│╭╮╰╯]", " ", result.output).split())
        assert "Traceback" not in message
        assert "Errno" not in message
        assert len(message) < 2000, message
        for pattern in said:
            assert re.search(pattern, message), f"{pattern!r} is not in {message!r}"
        assert files(tmp_path) == before
        return result

    return run


# ---------------------------------------------------------------------------------------------------------- commands

NO_SUITE = "there is no suite .*: give the path of a TOML file, or a name; (did you mean|known: )"
NAMES = "use up to 60 lower-case letters, digits(,| and) underscores"
COMMANDS: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    *(((command, name), (re.escape(repr(name[:200]))[:-1], NO_SUITE)) for command in ("run", "log", "records", "leaderboard")
      for name in ("", "nowhere", "nowhere.toml", "folder", "folder.toml", "link.toml", "loop.toml", "..", "/", "own.tml",
                   LONG, f"{LONG}.toml", "own.toml/x.toml", "../own.toml", "Bench", "bench/")),
    *((("report", name, "--out", "pages"), (NO_SUITE,)) for name in ("", "nowhere", "own.py", "own.csv", LONG)),
    *((("leaderboard", "own.toml", f"--{option}", value), (f"--{option}", value or "''", "is not one of.*'"))
      for option, value in (("rule", ""), ("rule", "best"), ("rule", "KNEE"), ("format", "json"), ("format", "CSV"))),
    *((("run", "own.toml", f"--{option}", value), (f"--{option}", value or "''", "is not one of.*'"))
      for option, value in (("device", "gpu"), ("device", "cuda:0"), ("device", ""), ("engine", "vmap"), ("rule", "all"))),
    *((("run", "own.toml", "--executor", name), (f"no executor is called {name!r}", "did you mean|known: auto"))
      for name in ("", "kubernetes", "Here", "proceses", "../here")),
    *((("run", "own.toml", "--executor", "processes", "--workers", number), ("--workers", "greater than|valid integer"))
      for number in ("0", "-1", "", "two", "1.5", "nan", "inf")),
    (("run", "own.toml", "--workers", "2"), ("executor 'here'", "'workers' is not a parameter; it takes none; a parameter of .*processes")),
    (("run", "own.toml", "--executor", "processes", "--address", "auto"), ("processes", "'address' is not a parameter")),
    (("run", "own.toml", "own.toml"), ("own.toml", "unexpected extra argument")),
    (("run", "own.toml", "--fast"), ("No such option.*--fast",)),
    (("rnu", "own.toml"), ("No such command 'rnu'.*Did you mean 'run'",)),
    (("run",), ("Missing argument 'suite'",)),
    *((("run", "own.toml", "--data-root", path), ("--data-root", said))
      for path, said in (("", "'' names no file or folder: give a path"), ("own.py", "'own.py'.* is a file: name a folder"),
                         ("own.py/x", "own.py' is a file: name a folder"), ("a\0b", "no path can have: give another"),
                         (LONG, "File name too long: give another path"))),
    *((("records", "own.toml", "--format", "parquet", "--out", path), ("--out", said))
      for path, said in (("", "'' names no file or folder: give a path"), (" ", "names no file or folder"),
                         ("folder", "'folder' is a folder: name a file in it"), ("..", "is a folder: name a file"),
                         ("nowhere/x.parquet", "there is no folder 'nowhere': make it first"),
                         ("own.py/x.parquet", "there is no folder 'own.py'"), (LONG, "File name too long: give another"))),
    *((("leaderboard", "own.toml", "--format", "csv", "--out", path), ("--out", said))
      for path, said in (("", "names no file or folder"), ("folder", "is a folder"), ("a/b/c.csv", "no folder 'a/b'"))),
    *((("report", "own.toml", "--out", path), ("--out", said))
      for path, said in (("", "names no file or folder: give a path"), ("own.py", "'own.py' is a file: name a folder"),
                         ("own.py/pages", "is a file: name a folder"), ("a\0", "no path can have"), (LONG, "too long"))),
    (("report", "--out", "pages"), ("Missing argument 'suites'",)),
    (("report", "own.toml"), ("Missing option '--out'",)),
    (("records", "own.toml", "--format", "parquet"), ("say where to with --out FILE",)),
    (("records", "own.toml", "--format", "xlsx"), ("--format", "xlsx", "is not one of 'csv', 'parquet'")),
    *(((command, "own.toml"), ("no run of suite 'own' is in .*results/local", "`rrrbench run own.toml` makes them"))
      for command in ("log", "records", "leaderboard")),
    *((("log", "own.toml", "--to", uri), (f"{uri!r} is no address of a tracking server", "give http://HOST:PORT"))
      for uri in ("", "x", "mlruns", "../x.db", "http://", "//", "http:/x", "://x", "sqlite:///")),
    *(((*command, name), (re.escape(repr(name[:60]))[:-1], NAMES)) for command in (("new", "mitigation"), ("new", "dataset"), ("new", "suite"))
      for name in ("", "My-Own", "1a", "a b", "../evil", "/tmp/evil", "a.py", "_x", "ä", "a\nb", LONG, "\u0661a")),
    *(((*command, "class"), ("'class'", "no word of Python's own")) for command in (("new", "mitigation"), ("new", "dataset"))),
    (("new", "mitigation", "rrr"), ("a mitigation is called 'rrr' already: choose another name",)),
    (("new", "dataset", "decoy"), ("a dataset is called 'decoy' already: choose another name",)),
    (("new", "suite", "bench"), ("a suite is called 'bench' already: choose another name",)),
    (("new", "suite", "own"), ("own.toml exists: remove it, or choose another name",)),
    (("new", "mitigation", "own"), ("own.py exists: remove it, or choose another name",)),
    (("new", "network", "own"), ("No such command 'network'",)),
    *(((*command, path), (said,)) for command in (("check",), ("submit", "check"))
      for path, said in (("", "'' names no file or folder: give a path"), ("folder", "'folder' is a folder: name a Python"),
                         ("folder.py", "'folder.py' is a folder"), ("own.toml", "'own.toml' is no Python file: .* in .py"),
                         ("/", "'/' is a folder"), ("a\0.py", "no path can have"), (f"{LONG}.py", "too long: give another"),
                         ("nowhere.py", "there is no file nowhere.py: `rrrbench new mitigation NAME` writes"))),
    (("check", "own.py"), ("own.py registers no mitigation, network, .*: decorate a class",)),
    (("check", "latin.py"), ("latin.py cannot be imported: SyntaxError",)),
    *((("submit", "check", "own.py", "--max-minutes", number), ("--max-minutes", "greater than or equal to 0|valid number"))
      for number in ("-1", "nan", "x", "")),
    *((("submit", "changed", base), ("git does not say what differs from", "name a revision, such as origin/main"))
      for base in ("", " ", "nowhere", "a b", "HEAD^{/x", "$(id)")),
    *((("list", kind), (f"'{kind}' is not one of 'suites'",)) for kind in ("", "suite", "Suites", "all")),
    *((("reproduce", paper), (f"no published numbers of {paper!r}", "did you mean ross2017|known: friedrich2023"))
      for paper in ("", "nowhere", "../ross2017", "ross2017.csv", "Ross2017", "/etc/passwd")),
    (("reproduce", LONG), ("File name too long: give a shorter name",)),
    *((("reproduce", "ross2017", option, value), (option, "greater than or equal|valid (integer|number)"))
      for option, value in (("--seeds", "0"), ("--seeds", "-1"), ("--seeds", "x"), ("--max-minutes", "-1"),
                            ("--max-minutes", "nan"), ("--max-minutes", "soon"))),
]  # fmt: skip


@pytest.fixture
def in_the_way(refused) -> Refused:
    """A suite, a file, folders where files are expected, and links to nowhere."""
    Path("own.toml").write_text(tomli_w.dumps(suite()))
    Path("own.py").write_text("x = 1\n")
    Path("latin.py").write_bytes(b"x = '\xff'\n")
    for name in ("folder", "folder.toml", "folder.py", "folder.parquet"):
        Path(name).mkdir()
    Path("link.toml").symlink_to("nowhere.toml")
    Path("loop.toml").symlink_to("loop.toml")
    return refused


def suite(**changes) -> dict:
    """A suite of a single run, with keys of its sweep or, after `suite_`, of itself replaced."""
    sweep = {
        "dataset": {"name": "decoy", "base": "digits"},
        "network": {"name": "mlp", "hidden": [8]},
        "training": {"epochs": 1, "batch_size": 64},
        "mitigations": [{"mitigation": "rrr", "strengths": [1.0]}],
    }
    own = {name.removeprefix("suite_"): value for name, value in changes.items() if name.startswith("suite_")}
    of_sweep = {name: value for name, value in changes.items() if not name.startswith("suite_")}
    return {"seeds": [0], "sweeps": [sweep | of_sweep], **own}


@pytest.mark.parametrize(
    ("words", "said"),
    [pytest.param(*one, marks=[pytest.mark.long] * ("check" in one[0])) for one in COMMANDS],  # starts a process
    ids=lambda value: " ".join(value)[:60] if value else "",
)
def test_a_command_that_cannot_be_done(in_the_way, words, said):
    in_the_way(*words, said=said)


@pytest.mark.parametrize("home", ["own.py", "own.py/results", "/proc/rrrbench"])
def test_a_home_that_cannot_be_written(in_the_way, monkeypatch, home):
    monkeypatch.setenv("RRRBENCH_HOME", home)
    in_the_way(
        "run", "own.toml", said=(re.escape(home), "RRRBENCH_HOME|name a folder|take another path|look at the path")
    )


# ------------------------------------------------------------------------------------------------------------ suites

RRR = {"mitigation": "rrr", "strengths": [1.0]}
HUGE = 10**30
SUITES: list[tuple[dict, tuple[str, ...]]] = [
    *(({"suite_name": name}, (r"name: .*cannot name files: use up to 100 letters", "own.toml"))
      for name in ("../evil", "/tmp/evil", "a/b", "..", ".hidden", "", " ", "a\nb", "a\0b", "x" * 300, "con\\x", "-x", "~")),
    *(({"training": {"epochs": value}}, (r"training\.epochs", said)) for value, said in (
        (0, "greater than or equal to 1"), (-1, "greater than or equal to 1"), (True, "write 1"), ("3", "without quotes"),
        (2.0, "write 2"), (float("inf"), "finite|integer"), (float("nan"), "finite|integer"), ([], "integer"), ({}, "integer"))),
    *(({"training": {"batch_size": value}}, (r"training\.batch_size", said)) for value, said in (
        (0, "greater than or equal to 1"), (-5, "greater"), ("", "integer"), (1.5, "integer"), ([64], "integer"))),
    *(({"training": {"learning_rate": value}}, (r"training\.learning_rate", said)) for value, said in (
        (0, "greater than 0"), (-0.1, "greater than 0"), (float("inf"), "finite"), (float("nan"), "greater|finite"),
        ("fast", "valid number"), (False, "greater than 0|write 0"), ([1e-3], "valid number"))),
    *(({"training": {"momentum": value}}, (r"training\.momentum", said)) for value, said in (
        (1, "less than 1"), (-0.5, "greater than or equal to 0"), (-0.0, r"write 0\.0"), ("0.9", "without quotes"))),
    *(({"training": {key: value}}, (rf"training\.{key}", said)) for key, value, said in (
        ("optimizer", "Adam", "'adam', 'adamw' or 'sgd'"), ("optimizer", "", "'adam'"), ("optimizer", ["adam"], "'adam'"),
        ("shuffle", "no", "true or false"), ("shuffle", 2, "boolean|true or false"), ("weight_decay", -1e-3, "greater"),
        ("epoch", 3, "did you mean epochs"), ("lr", 0.1, "is not a key"), ("épochs", 3, "did you mean epochs"))),
    *(({"mitigations": [{**RRR, "strengths": value}]}, ("strengths", said)) for value, said in (
        ([], "rrr needs strengths, e.g."), ([-1.0], "greater than or equal to 0"), ([-0.0], r"write 0\.0"),
        ([float("inf")], "finite|pattern"), (["1"], "'1'"), ([True], "write 1"), ("1.0", "tuple|list"), ([[1.0]], "number"),
        (["auto:"], "'auto:'"), (["auto:-1"], "auto:-1"), ([{}], "number"), (1.0, "tuple|list"))),
    *(({"mitigations": value}, ("mitigation", said)) for value, said in (
        ([], "at least 1 item"), ([{"mitigation": "rr", "strengths": [1.0]}], "'rr'; did you mean rrr"), ([{}], "required"),
        ([{"mitigation": "RRR", "strengths": [1.0]}], "no mitigation is called 'RRR'"), ([{"mitigation": 3}], "known names"),
        ([{"mitigation": "../rrr"}], "'../rrr'; did you mean rrr"), ([{"mitigation": ""}], "known: "), ("rrr", "tuple|list"),
        ([{"mitigation": {"name": "rrr", "target": "x"}, "strengths": [1.0]}], "target = 'x'"),
        ([{"mitigation": "erm", "strengths": [1.0]}], "erm has no strength: remove"), ([3], "3|dictionary"),
        ([{**RRR, "strenghts": [1.0]}], "did you mean strengths"), ([{**RRR, "units": {"entries": 0}}], "greater than"))),
    *(({"dataset": value}, (said,)) for value, said in (
        ("decoyy", "'decoyy'; did you mean decoy"), ("", "no dataset is called ''; known: "), ([], r"\[\] is neither a name"),
        ("../decoy", "did you mean decoy"), ({"name": "decoy", "base": "digitss"}, "no base is called 'digitss'; did you mean"),
        ({"name": "decoy", "base": ""}, "no base is called ''"), ({"name": "decoy", "base": "/etc/passwd"}, "no base is called"),
        ({"name": "decoy", "base": "npz"}, "no base is called 'npz'; "), ({"name": "decoy", "base": 3}, "base = 3"),
        ({"name": "decoy", "correlation": 1.5}, "correlation = 1.5: .*less than or equal to 1"),
        ({"name": "decoy", "correlation": -0.5}, "correlation = -0.5"), ({"name": "decoy", "variant": "Ross"}, "'ross', 'faint'"),
        ({"name": "decoy", "validation": 0}, "validation = 0"), ({"name": "decoy", "validation": HUGE // 10**12}, "number below 2|ask for"),
        ({"name": "decoy", "masks": "wrogn"}, "masks = 'wrogn'"), ({"name": "decoy", "annotated": -1}, "annotated = -1"),
        ({"name": "decoy", "annotated": 5000}, "annotated = 5000, but there are 1168 training inputs: ask for fewer"),
        ({"name": "decoy", "validation": 1297}, "validation = 1297 leaves nothing of the 1297 .*ask for fewer"),
        ({"name": "colored-patch", "size": 0}, "size = 0"), ({"name": "colored-patch", "size": 29}, "29x29 pixels do not fit.*lower its size"),
        ({"name": "colored-patch", "colors": 1}, "colors = 1"), ({"name": "colored-patch", "colors": 11}, "ask for 10 or fewer"),
        ({"name": "colored-patch", "opacity": 0}, "opacity = 0"), ({"name": "colored-patch", "position": "middle"}, "'fixed' or"),
        ({"name": "toy-colors", "train_inputs": 9}, "train_inputs = 9"), ({"name": "toy-colors", "shortcut": "x"}, "'corners'"),
        ({"name": "iris-cancer", "scale": "none"}, "'column' or 'all'"), ({"name": "iris-cancer", "base": "digits"}, "'base' is not"),
        ({"name": "decoy", "base": "npz:"}, "base = 'npz:': it names no file: write npz:PATH"),
        ({"name": "decoy", "base": "npz: "}, "names no file"),
        ({"name": "observed"}, "there is no file: give file = "), ({"name": "observed", "file": ""}, "file = ''"),
        ({"name": "observed", "file": "no.npz"}, "no.npz is missing: looked for .*give its full path"))),
    *(({"network": value}, ("network", said)) for value, said in (
        ("lenett", "did you mean lenet"), ("", "known: "), ({"name": "mlp", "hidden": []}, "at least 1 item"), (3, "known names"),
        ({"name": "mlp", "hidden": [0]}, r"hidden\.0 = 0"), ({"name": "mlp", "hidden": [8, "8"]}, "without quotes"),
        ({"name": "mlp", "layers": [8]}, "'layers' is not a parameter"), ({"name": "mlp", "init": "he"}, "'ross' or 'torch'"),
        ({"name": "mlp", "pixel_range": [1, 0]}, "is empty: give"), ({"name": "mlp", "pixel_range": "raw"}, "'unit' or 'native'"),
        ({"name": "mlp", "pixel_range": [0]}, r"pixel_range = \[0\]: expected two numbers, not 1: give \(low, high\)"),
        ({"name": "mlp", "pixel_range": []}, "two numbers, not 0"), ({"name": "mlp", "pixel_range": [0, 1, 2]}, "numbers, not 3"),
        ({"name": "resnet18", "groups": 3}, "groups = 3"), ({"name": "lenet", "hidden": [3]}, "'hidden' is not a parameter"))),
    *(({"suite_seeds": value}, ("seeds", said)) for value, said in (
        ([], "at least 1 item"), ([-1], "greater than or equal to 0"), (["0"], "write 0 without quotes"), ([True], "write 1"),
        ([0.0], "whole number: write 0"), (0, "tuple|list"), ([[0]], "integer"), ([2**63 - 1, "a"], "'a'"))),
    *(({f"suite_{key}": value}, (key.rstrip("s"), said)) for key, value, said in (
        ("sweeps", [], r"needs \[\[sweeps\]\]"), ("sweeps", 3, "tuple|list"), ("sweeps", [3], "3|dictionary"), ("save_models", "yes", "true or"),
        ("explainers", ["gradient"], "'gradient'; did you mean"), ("explainers", [3], "known names"), ("sweep", [], "did you mean sweeps"),
        ("description", 3, "string"), ("explainers", [{"name": "smooth_gradient", "n_samples": 0}], "n_samples = 0"))),
    *(({key: value}, (key, said)) for key, value, said in (
        ("trials", 0, "greater than or equal to 1"), ("trials", 10**9, "less than or equal to 100000"), ("trials", "5", "without quotes"),
        ("controls", ["worng"], "'worng'"), ("controls", [-1], "-1"), ("controls", "wrong", "tuple|list"), ("label", 3, "string"),
        ("lable", "x", "did you mean label"), ("datasets", "decoy", "did you mean dataset"))),
    *(({"suite_sweeps": [], "suite_counterfactuals": value}, (said,)) for value, said in (
        ([{"explainers": ["dive"]}], "network: Field required"), ([{"network": "lenet"}], "explainers: Field required"),
        ([{"network": "lenet", "explainers": []}], "at least 1 item"), ([{"network": "lenett", "explainers": ["dive"]}], "did you mean lenet"),
        ([{"network": "lenet", "explainers": ["dave"]}], "'dave'; did you mean dive"), ([3], "counterfactuals.0"),
        ([{"network": "lenet", "explainers": ["dive"], "batch_size": 0}], "batch_size: .*greater than 0"),
        ([{"network": "lenet", "explainers": ["dive"], "batch_size": "20"}], "batch_size: .*write 20 without quotes"),
        ([{"network": "lenet", "explainers": [{"name": "dive", "steps": -1}]}], "steps"), ("dive", "counterfactuals: .*(tuple|list)"),
        ([{"network": "lenet", "explainers": ["dive"], "dataset": {"correlation": 2}}], "correlation: .*less than or equal to 1"),
        ([{"network": "lenet", "explainers": ["dive"], "dataset": "decoy"}], "dataset"),
        ([{"network": "lenet", "explainers": ["dive"], "mitigations": []}], "mitigations is not a key"))),
    ({"suite_counterfactuals": [{"network": "lenet", "explainers": ["dive"]}]}, (r"\[\[counterfactuals\]\] cannot be beside sweeps", "split it")),
    ({"training": {"batch_size": 2000}}, ("batch_size = 2000 is larger than the training data of decoy-digits", "lower it")),
    ({"network": "lenet", "dataset": "iris-cancer"}, (r"lenet cannot be built for iris-cancer.*\(34,\)", "use the mlp")),
    ({"network": "resnet18", "dataset": {"name": "toy-colors", "train_inputs": 99, "test_inputs": 9}}, ("resnet18.*toy-colors", "the mlp")),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), SUITES, ids=lambda value: repr(value)[:70])
def test_a_suite_that_says_what_cannot_be(refused, changes, said):
    Path("own.toml").write_text(tomli_w.dumps(suite(**changes)))
    refused("run", "own.toml", "--device", "cpu", said=said)


TEXTS = {
    b"": "own.toml: seeds: Field required", b"\xff\xfe": "own.toml: not UTF-8", b"seeds = [0": "own.toml: not TOML",
    b"seeds = [0]\nseeds = [1]": "not TOML: .*overwrite", b"[a]\n[a]": "not TOML", b"= 3": "not TOML: .*line 1",
    b"seeds = 0x": "not TOML", b"a = " + b"9" * 5000: "not TOML", b"a = " + b"[" * 5000: "not TOML", b"\0": "not TOML",
    b"PK\x03\x04": "not TOML", b"seeds = [0]": r"needs \[\[sweeps\]\]", b"<html>": "not TOML", b"{}": "not TOML",
    b"seeds: [0]": "not TOML", b"seeds = [2020-01-01]\n[[sweeps]]": "seeds.0",
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), TEXTS.items(), ids=lambda value: repr(value)[:40])
def test_a_file_that_is_no_suite(refused, text, said):
    Path("own.toml").write_bytes(text)
    refused("run", "own.toml", said=(said,))


# -------------------------------------------------------------------------------------------------------------- data


def images(n: int = 40, side: int = 12) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, side, side), np.uint8)


def arrays(**replaced) -> dict[str, np.ndarray]:
    labels = {f"y_{part}": np.arange(40) % 2 for part in ("train", "test")}
    made = {"x_train": images(), "x_test": 255 - images(), **labels} | replaced
    return {name: array for name, array in made.items() if array is not None}


def in_corner(**replaced) -> dict[str, np.ndarray]:
    """The same with masks and shortcut values."""
    masks = np.zeros((40, 12, 12), dtype=bool)
    masks[:, :3, :3] = True
    values = np.arange(40) % 2
    return arrays(masks_train=masks, masks_test=masks, shortcuts_train=values, shortcuts_test=values, **replaced)


def packed(content: dict[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **content)
    return stream.getvalue()


GOOD = packed(arrays())
DATA: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "own.npz is empty: save four arrays"),
    "text": (b"a,b\n1,2\n", "own.npz is no npz.*save four arrays"),
    "a pickle": (b"\x80\x04K\x01.", "is a pickle, which is never opened"),
    "half": (GOOD[: len(GOOD) // 2], "truncated or damaged.*copy or write it again"),
    "no tests": (packed(arrays(x_test=None, y_test=None)), "has no x_test, y_test; it has .*add what is missing"),
    "one name wrong": (packed(arrays(x_train=None, X_train=images())), "has no x_train; it has"),
    "groups too": (packed(arrays(groups=np.zeros(40))), "has groups, which nothing would use.*rename or remove"),
    "masks too": (packed(in_corner()), 'has masks_train, .*name = "observed", file'),
    "flat": (packed(arrays(x_train=images().reshape(40, -1))), r"x_train has shape \(40, 144\).*reshape\(-1, 12, 12\)"),
    "channels first": (packed(arrays(x_train=images()[:, None])), r"x_train has shape \(40, 1, 12, 12\).*transpose"),
    "floats to 255": (packed(arrays(x_train=images() / 1.0)), "x_train ranges over .*divide by 255"),
    "normalised": (packed(arrays(x_test=images() / 99 - 1)), "x_test ranges over .*undo the normalisation"),
    "NaN": (packed(arrays(x_train=np.full((40, 12, 12), np.nan))), "x_train.*40 images have NaN.*remove or repair"),
    "integers": (packed(arrays(x_train=images().astype(int))), r"x_train is int64.*astype\(np\.uint8\)"),
    "other sides": (packed(arrays(x_test=images(side=11))), "x_train and x_test differ in shape.*crop, resize"),
    "objects": (packed(arrays(x_train=np.array([1, "a"] * 20, dtype=object))), "x_train holds Python objects, .*save one"),
    "float labels": (packed(arrays(y_train=np.zeros(40))), r"y_train is float64 .*y\.astype\(np\.int64\)"),
    "labels from 1": (packed(arrays(y_train=np.arange(40) % 2 + 1, y_test=np.arange(40) % 2 + 1)), "1..2.*subtract 1"),
    "a gap": (packed(arrays(y_train=np.arange(40) % 2 * 2, y_test=np.arange(40) % 2 * 2)), "no label is 1.*number them"),
    "minus one": (packed(arrays(y_test=np.arange(40) % 3 - 1)), "y_test has a label -1.*remove inputs without"),
    "one class": (packed(arrays(y_train=np.zeros(40, int))), "y_train: every label is 0, expected two classes"),
    "names": (packed(arrays(y_train=np.array(["a", "b"] * 20))), "y_train is <U1.*return_inverse=True"),
    "one-hot": (packed(arrays(y_train=np.eye(2, dtype=int)[np.arange(40) % 2])), r"y_train.*argmax\(axis=1\)"),
    "fewer labels": (packed(arrays(y_train=np.arange(39) % 2)), r"y_train is int64 of shape \(39,\).*same split"),
    "five images": (packed(arrays(x_train=images(5), y_train=np.arange(5) % 2)), "a tenth of 5 .*give 10 inputs or more"),
    "eleven classes": (
        packed(arrays(y_train=np.arange(40) % 11, y_test=np.arange(40) % 11)), "11 classes, but .* use colored-patch",
    ),
    "images of 6x6": (packed(arrays(x_train=images(side=6), x_test=255 - images(side=6))), "do not fit into corners of 6x6.*larger base"),
    "fewer than a batch": (packed(arrays()), "batch_size = 64 is larger than the training data of decoy-npz:own"),
}  # fmt: skip
OBSERVED: dict[str, tuple[bytes, str]] = {
    "no masks": (packed(arrays()), "has no masks_train, masks_test, shortcuts_train, shortcuts_test; it has"),
    "heatmaps": (packed(in_corner() | {"masks_train": images() / 255}), "masks_train is float64.*threshold"),
    "masks of 255": (packed(in_corner() | {"masks_test": images()}), "masks_test has the value .*expected 0 and 1"),
    "masks of channels": (packed(in_corner() | {"masks_test": images()[:, None]}), r"masks_test has shape \(40, 1, 12"),
    "values of floats": (packed(in_corner() | {"shortcuts_train": np.zeros(40)}), "shortcuts_train is float64.*number"),
    "fewer values": (packed(in_corner() | {"shortcuts_test": np.arange(9)}), r"shape \(9,\), expected .*same split"),
    "one value": (
        packed(in_corner() | {f"shortcuts_{part}": np.zeros(40, int) for part in ("train", "test")}),
        "the commonest value of every class is 0.*another shortcut",
    ),
    "a value of -3": (packed(in_corner() | {"shortcuts_test": np.full(40, -3)}), "has the value -3, expected 0, 1"),
    "no shortcut": (packed(in_corner() | {"masks_train": images() > 255}), "image 0 has the value 0 and an empty mask"),
    "text": (b"hello", "own.npz is no npz"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DATA)
def test_data_that_do_not_fit(refused, kind):
    content, said = DATA[kind]
    Path("own.npz").write_bytes(content)
    Path("own.toml").write_text(tomli_w.dumps(suite(dataset={"name": "decoy", "base": "npz:own.npz"})))
    refused("run", "own.toml", "--device", "cpu", said=(said,))


@pytest.mark.parametrize("kind", OBSERVED)
def test_observed_data_that_do_not_fit(refused, kind):
    content, said = OBSERVED[kind]
    Path("own.npz").write_bytes(content)
    Path("own.toml").write_text(tomli_w.dumps(suite(dataset={"name": "observed", "file": "own.npz"})))
    refused("run", "own.toml", "--device", "cpu", said=("own.npz", said))


@pytest.mark.parametrize("path", ["nowhere.npz", "../own.npz", "folder", "/etc", "~nobody/x.npz", "a\0b", LONG])
def test_data_that_are_not_there(refused, path):
    Path("folder").mkdir()
    Path("own.toml").write_text(tomli_w.dumps(suite(dataset={"name": "decoy", "base": f"npz:{path}"})))
    refused(
        "run",
        "own.toml",
        "--device",
        "cpu",
        said=("is missing: looked for|File name too long", "Put the file|give a shorter name"),
    )


# ----------------------------------------------------------------------------------------------------------- records


def recorded() -> pd.DataFrame:
    """Rows as `rrrbench records --format parquet` writes them."""
    parsed = parse_suite({"name": "own", **suite(suite_seeds=[0, 1])}, "own")
    rows = []
    for stack in parsed.stacks():
        for key, (strength, seed) in stack.places().items():
            row = {name: value for name, value in stack.names.items() if name != "degenerate"}
            configuration = json.dumps(stack.configuration(strength, seed))
            told = dict.fromkeys(("error", "dataset_digest", "dirty", "versions", "flips", "curves"), "")
            rows.append({**row, **told, "strength": strength, "seed": seed, "run_key": key, "sweep_key": stack.sweep_key,
                         "status": "finished", "protocol": "2.0", "git_commit": "0" * 40, "seconds": 1.0,
                         "accuracy/random": 0.5, "flip_rate": 0.5, "configuration": configuration})  # fmt: skip
    return pd.DataFrame(rows)


CELLS: list[tuple[str, object]] = [
    *(("run_key", value) for value in ("../../evil", "", "0" * 63, "A" * 64, "/" + "0" * 63, "0" * 63 + "\n")),
    *(("sweep_key", value) for value in ("../../evil", "", "z" * 64)),
    *(("accuracy/random", value) for value in (1.5, -0.5, np.inf, 1e300)),
    *(("flip_rate", value) for value in (2.0, "0.5", "=1+1", True)),
    *(("strength", value) for value in (-1.0, np.nan, np.inf)),
    *(("seed", value) for value in (-1, 0.5)),
    *(("status", value) for value in ("done", "", "FINISHED")),
    *(("protocol", value) for value in ("0.9", "3.0", "", "2")),
    *(("dataset", value) for value in ("", "a\nb", "x" * 501, " a", "a\x1b[31m")),
    *(("masks", value) for value in ("", "on -1 inputs", "../x")),
    *(("git_commit", value) for value in ("$(id)", "HEAD", "0" * 39)),
    *(("flips", value) for value in ("[", "{}", "[[-1,0,1]]", "[[0,1]]")),
    *(("curves", value) for value in ("[]", "{", '{"a": ["b"]}')),
    *(("configuration", value) for value in ("", "[]", "null", "{", '{"dataset": 3}', '{"protocol": "1.0"}', '{"seed": 9}')),
]  # fmt: skip


@pytest.mark.parametrize(("column", "value"), CELLS, ids=lambda value: repr(value)[:40])
def test_a_cell_that_no_record_has(refused, column, value):
    rows = recorded()
    cells = list(rows[column])
    cells[0] = value
    if isinstance(value, str | bool) and rows[column].dtype != object:
        cells = [value] * len(rows)
    rows.assign(**{column: cells}).to_parquet("theirs.parquet")
    refused(
        "report", "theirs.parquet", "--out", "pages", said=(f"theirs.parquet: column '{column}', row 0", "expected")
    )


@pytest.mark.parametrize(
    "column", ["run_key", "sweep_key", "seed", "strength", "status", "protocol", "configuration", "masks"]
)
def test_a_column_that_is_missing(refused, column):
    recorded().drop(columns=column).to_parquet("theirs.parquet")
    refused("report", "theirs.parquet", "--out", "pages", said=(f"has no column '{column}'", "write it with"))


FILES = {
    "nothing": b"", "text": b"hello", "a csv": b"run_key,seed\nx,1\n", "a magic number": b"PAR1",
    "zeros": b"PAR1" + bytes(100) + b"PAR1",
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_no_parquet(refused, kind):
    Path("theirs.parquet").write_bytes(FILES[kind])
    refused(
        "report", "theirs.parquet", "--out", "pages", said=("theirs.parquet does not read as parquet", "write it with")
    )


@pytest.mark.parametrize("name", ["nowhere.parquet", "folder.parquet", "loop.parquet", f"{LONG}.parquet"])
def test_a_file_of_records_that_is_not_there(refused, name):
    Path("folder.parquet").mkdir()
    Path("loop.parquet").symlink_to("loop.parquet")
    refused(
        "report", name, "--out", "pages", said=(name[:60], "look at the path|name a file|name the file|shorter name")
    )


@pytest.mark.parametrize("made", [
    lambda rows: pd.concat([rows, rows]), lambda rows: rows.head(0), lambda rows: rows.assign(dataset=["a", "b"]),
    lambda rows: rows.assign(**{"a\nb": 1.0}), lambda rows: rows.assign(**{"": 1.0}),
], ids=["twice", "none", "two data sets of a sweep", "a column of two lines", "a column without a name"])  # fmt: skip
def test_rows_that_contradict_each_other(refused, made):
    made(recorded()).to_parquet("theirs.parquet")
    refused(
        "report", "theirs.parquet", "--out", "pages", said=("theirs.parquet", "expected|no rows|no name of a column")
    )


MADE_BY_THE_LEADERBOARD = (
    *("accuracy/random:low", "accuracy/random:high", "own:low", "accuracy/random:seeds", "regret", "regret:low"),
    *("mask_effect", "mask_effect:high", "seconds_over_erm", "headline", "rule", "seeds", "note", "reason"),
)


@pytest.mark.parametrize("name", MADE_BY_THE_LEADERBOARD)
def test_a_file_of_records_with_a_column_that_the_leaderboard_makes(refused, name):
    recorded().assign(**{name: 0.5}).to_parquet("theirs.parquet")
    said = ("theirs.parquet", f"column '{name}'", "the leaderboard makes it", "remove or rename")
    refused("report", "theirs.parquet", "--out", "pages", said=said)


@pytest.mark.parametrize("stem", ["..", "a\nb", " x", "x" * 120, "-x", "a%b"])
def test_a_file_of_records_whose_name_is_no_name_of_pages(refused, stem):
    recorded().to_parquet(f"./{stem}.parquet")
    refused("report", f"./{stem}.parquet", "--out", "pages", said=("cannot name files: use up to 100 letters",))


# ------------------------------------------------------------------------------------------------------- submissions

ROW = {"protocol": "2.0", "mitigation": "own", "needs": "", "sha256": "0" * 64, "strengths": [1.0], "results": []}
ROWS: dict[str, str] = {
    "nothing": "", "a list": "[]", "null": "null", "a number": "3", "deep": "[" * 9999, "text": "hello", "half": '{"protocol":',
    **{f"no {name}": json.dumps({key: ROW[key] for key in ROW if key != name}) for name in ROW},
    **{f"{name} = {value!r}": json.dumps(ROW | {name: value}) for name, value in (
        ("protocol", "1.0"), ("protocol", "9.9"), ("protocol", 2.0), ("protocol", None), ("mitigation", ["own"]),
        ("mitigation", None), ("needs", 3), ("strengths", "1"), ("strengths", ["a"]), ("strengths", None), ("sha256", 3),
        ("results", {}), ("results", [3]), ("results", "x"), ("more", 1))},
}  # fmt: skip


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("named", ["own.py", "own.json"])
def test_a_submissions_row_that_is_none(refused, monkeypatch, kind, named):
    monkeypatch.setattr(measuring, "measure", lambda *_: pytest.fail("measured"))
    Path("own.py").write_text("STRENGTHS = (1.0,)\n")
    Path("own.json").write_text(ROWS[kind])
    refused("submit", "check", named, said=("own.json (is no row|was measured under protocol)", "[Rr]emove it"))


SOURCES = {
    "import sys; sys.exit(0)": r"own.py calls sys\.exit\(0\) .*remove it", "1 / 0": "own.py cannot be imported: ZeroDivisionError",
    "def": "own.py cannot be imported: SyntaxError", "import nowhere": "cannot be imported: ModuleNotFoundError.*nowhere",
    "": "own.py registers no mitigation, .*decorate a class", "raise ValueError('no')": "cannot be imported: ValueError: no",
    "raise BaseException": "own.py raises BaseException.* when it is imported: mend", "from rrrbench.nowhere import x": "cannot be imported: ModuleNotFoundError",
    "from rrrbench.methods.base import nowhere": "cannot be imported: ImportError", "x: int = 'a": "SyntaxError",
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(
    "source", [pytest.param(one, marks=[pytest.mark.slow] * (i > 0)) for i, one in enumerate(SOURCES)]
)
def test_a_file_that_cannot_be_checked(refused, source):
    Path("own.py").write_text(source)
    refused("check", "own.py", said=("own.py", SOURCES[source]))


def test_three_hundred_bad_inputs_come_by_the_command_line():
    tables: Iterator[int] = map(len, (COMMANDS, SUITES, TEXTS, DATA, OBSERVED, CELLS, FILES, ROWS, SOURCES))
    assert sum(tables) >= 300
