"""Submissions that are not what they say: forged rows, and files that end, hang or kill the process of their check."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from rrrbench.benchmark.cli import app
from rrrbench.benchmark.conformance.changed import changed
from rrrbench.benchmark.conformance.submission import Row, compare
from rrrbench.datasets.own_code import Refused
from typer.testing import CliRunner

SAMPLE = Path(__file__).parents[2] / "submission/clipped_input_gradient.py"
HONEST = {
    **{"dataset": "decoy-digits", "mitigation": "x", "note": "", "strength": 1.0, "seeds": 5, "flip_rate": 0.3},
    **{"accuracy/random": 0.80, "accuracy/random:low": 0.78, "accuracy/random:high": 0.82, "mask_effect": 0.2},
    **{"liveness/end": 2.0, "mass_abs_over_chance/input_gradient": 1.5},
}


def row(result=None, **changes) -> Row:
    shared = {"protocol": "1.0", "mitigation": "x", "needs": "masks", "sha256": "a", "strengths": (1,)}
    return Row.model_validate({**shared, "results": [result or HONEST], **changes})


def test_an_honest_row_is_repeated():
    compare(row(), row())
    compare(row({**HONEST, "accuracy/random": 0.805, "liveness/end": 2.1, "flip_rate": 0.295}), row())


@pytest.mark.parametrize(
    "changes",
    [
        {"needs": ""}, {"needs": "groups"}, {"mitigation": "y"}, {"strengths": ()}, {"strengths": (1, 2)},
        {"strengths": (1.0000001,)}, {"protocol": "2.0"}, {"sha256": "b"}, {"results": []},
        {"results": [HONEST, HONEST]},
    ],
)  # fmt: skip
def test_a_row_that_says_something_else_is_refused(changes):
    with pytest.raises(Refused, match=r"recorded|changed"):
        compare(row(**changes), row())


@pytest.mark.parametrize(
    "changes",
    [
        {"accuracy/random": 0.999, "accuracy/random:low": 0.0, "accuracy/random:high": 1.0},
        {"accuracy/random:low": 0.0}, {"accuracy/random:high": 1.0}, {"accuracy/random": 0.82}, {"flip_rate": 0.0},
        {"flip_rate": "0.3"}, {"flip_rate": None}, {"flip_rate": float("nan")}, {"flip_rate": True},
        {"flip_rate": [0.3]}, {"mitigation": "anything"}, {"dataset": "other"}, {"strength": 1.001}, {"seeds": 50},
        {"seeds": 5.0}, {"mask_effect": 0.3}, {"liveness/end": 0.0}, {"note": "best"}, {"more": 1.0},
        {"seconds_over_erm": 0.1}, {"mass_abs_over_chance/input_gradient": 0.1}, {"liveness/end": float("inf")},
    ],
)  # fmt: skip
def test_a_row_of_other_numbers_is_refused(changes):
    with pytest.raises(Refused, match=r"recorded"):
        compare(row({**HONEST, **changes}), row())


@pytest.mark.parametrize("gone", HONEST)
def test_a_row_that_leaves_a_result_out_is_refused(gone):
    with pytest.raises(Refused, match=rf"{gone} is not recorded"):
        compare(row({name: value for name, value in HONEST.items() if name != gone}), row())


@pytest.fixture
def check(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(content: str, *words: str):
        (tmp_path / "own.py").write_text(content)
        return CliRunner().invoke(app, ["submit", "check", "own.py", *words], catch_exceptions=False)

    return call


def in_terms(statement: str) -> str:
    return SAMPLE.read_text().replace("        gradient, logits", f"        {statement}\n        gradient, logits")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("import sys; sys.exit(0)", "calls sys.exit"),
        ("raise SystemExit", "calls sys.exit"),
        ("quit()", "calls sys.exit"),
        ("import os; os._exit(0)", "ended its process with status 0 before it was measured"),
        ("import os; os._exit(7)", "ended its process with status 7"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was killed by signal 9"),
        ("import os; os.abort()", "was killed by signal 6"),
        ("raise KeyboardInterrupt", "raises KeyboardInterrupt"),
        ("raise BaseException('no')", "raises BaseException: no"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("def", "cannot be imported: SyntaxError"),
        ("import not_installed_here", "cannot be imported: ModuleNotFoundError"),
        ("", "registers 0 mitigations"),
        ("\0", "cannot be imported"),
        (SAMPLE.read_text().replace("(0.001, 0.01, 0.1, 1.0, 10.0)", "('a',)"), "no tuple of numbers"),
        (SAMPLE.read_text().replace("(0.001, 0.01, 0.1, 1.0, 10.0)", "(True, 1)"), "no tuple of numbers"),
        (
            SAMPLE.read_text().replace("(0.001, 0.01, 0.1, 1.0, 10.0)", "'123'"),
            "STRENGTHS = '123', no tuple of numbers",
        ),
        (SAMPLE.read_text().replace("(0.001, 0.01, 0.1, 1.0, 10.0)", "(0.1, 0.1)"), "a number of them twice"),
        (SAMPLE.read_text().replace("(0.001, 0.01, 0.1, 1.0, 10.0)", "(float('nan'),)"), "has nan among its STRENGTHS"),
        (SAMPLE.read_text().replace("(0.001, 0.01, 0.1, 1.0, 10.0)", "(-1.0,)"), "has -1.0 among its STRENGTHS"),
        (in_terms("import os; os._exit(0)"), "ended its process with status 0"),
        (in_terms("raise SystemExit(0)"), "calls sys.exit"),
    ],
)
@pytest.mark.slow
def test_a_file_that_ends_its_check_fails_it(check, content, reason):
    result = check(content)
    assert result.exit_code == 2
    assert reason in result.output.replace("\n", "")
    assert "own.py" in result.output
    assert "Traceback" not in result.output
    assert not Path("own.json").exists()


@pytest.mark.parametrize("content", ["while True: pass", "import time; time.sleep(10**6)", "input()\nwhile True: pass",
                                     "import signal, time\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\n"
                                     "time.sleep(10**6)"])  # fmt: skip
@pytest.mark.slow
def test_a_file_that_hangs_is_refused_after_the_limit(check, content):
    begin = time.monotonic()
    result = check(content, "--max-minutes", "0.05")
    assert result.exit_code == 2
    said = result.output.replace("\n", "")
    assert "was not measured within 0.05 minutes" in said or "raises EOFError" in said or "EOFError" in said
    assert time.monotonic() - begin < 60


@pytest.mark.slow
def test_what_a_file_starts_is_killed_with_it(check, tmp_path):
    content = (
        "import subprocess, sys, pathlib, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(p.pid))\ntime.sleep(600)\n"
    )
    check(content, "--max-minutes", "0.3")
    pid = int((tmp_path / "pid").read_text())
    time.sleep(0.5)
    state = Path(f"/proc/{pid}/stat")
    assert not state.exists() or state.read_text().split(") ")[1][0] == "Z"


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "null", '{"results": 3}', "\xff", '{"protocol": "2.0"}', "{" * 9999]
)
def test_a_row_that_is_none_is_refused_by_name(check, tmp_path, content):
    (tmp_path / "own.json").write_text(content, encoding="latin-1")
    result = check(SAMPLE.read_text())
    assert result.exit_code == 2
    assert "own.json is no row" in result.output


def test_a_row_without_its_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.json").write_text(row().model_dump_json())
    for name in ("own.json", "own.py"):
        result = CliRunner().invoke(app, ["submit", "check", name])
        assert result.exit_code == 2
        assert "own.json is a row without its file" in result.output


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A checkout whose main has one submission, `old`."""
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("NAME", "a"), ("EMAIL", "a@b")):
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", value)
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", value)
    folder = tmp_path / "results/submissions"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("x")
    (folder / "old.py").write_text("old = 1\n" * 20)
    (folder / "old.json").write_text('{"old": 1}\n' * 20)
    git("init", "-q", "-b", "main")
    commit()
    git("checkout", "-q", "-b", "theirs")
    return folder


def git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, capture_output=True)


def commit() -> None:
    git("add", "-A")
    git("commit", "-q", "-m", "x")


def test_what_a_pull_request_brings_and_changes_is_checked(repository):
    assert changed("main") == []
    for suffix in (".py", ".json"):
        (repository / f"new{suffix}").write_text("new")
    (repository / "README.md").write_text("y")
    commit()
    assert changed("main") == [repository / "new.py"]
    (repository / "old.json").write_text("{}")  # the row alone
    commit()
    assert changed("main") == [repository / "new.py", repository / "old.py"]


def test_a_renamed_submission_is_checked_and_a_removed_one_is_not(repository):
    for suffix in (".py", ".json"):
        (repository / f"old{suffix}").rename(repository / f"other name{suffix}")
    commit()
    assert changed("main") == [repository / "other name.py"]
    for suffix in (".py", ".json"):
        (repository / f"other name{suffix}").unlink()
    commit()
    assert changed("main") == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: (folder / "old.py").unlink(), "old.json is a row without its file"),
        (lambda folder: (folder / "old.json").unlink(), "old.py has no row"),
        (lambda folder: (folder / "new.py").write_text("x"), "new.py has no row"),
        (lambda folder: (folder / "new.json").write_text("x"), "new.json is a row without its file"),
        (lambda folder: (folder / "old.py").rename(folder / "new.py"), "new.py has no row"),
        (lambda folder: (folder / "old.json").rename(folder / "a\nb.json"), "is a row without its file"),
        (lambda folder: ((folder / "old.py").unlink(), (folder / "old.py").symlink_to("/dev/zero")), "no plain file"),
        (lambda folder: ((folder / "sub").mkdir(), (folder / "sub/x.json").write_text("x")), "row without its file"),
    ],
)
def test_half_a_submission_is_refused(repository, change, reason):
    change(repository)
    commit()
    with pytest.raises(Refused, match=reason):
        changed("main")


ROW = '{"results": [{"mitigation": "forged", "flip_rate": 0.0}]}'


def write(folder: Path, **files: str) -> None:
    """Files by their names, in which `__` stands for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


def linked(folder: Path, to: str) -> None:
    """A link in the place of a folder, to a folder beside it that has a forged row under a new name."""
    write(folder.parent / to, evil__py="code", evil__json=ROW)
    for file in folder.rglob("*"):
        if file.is_file():
            file.unlink()
    for below in (*folder.glob("*/"), folder):
        below.rmdir()
    folder.symlink_to(to)


def repository_within(folder: Path, name: str) -> None:
    """Another repository, with a forged row, under a name in a folder."""
    write(folder / name, evil__py="code", evil__json=ROW)
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "x")):
        git("-C", str(folder / name), *words)


def replaced_by_a_repository(folder: Path) -> None:
    linked(folder, "other")
    git("rm", "-rq", "--cached", str(folder))
    folder.unlink()
    repository_within(folder.parent, folder.name)
    ignored = f'[submodule "x"]\npath = results/{folder.name}\nurl = ./x\nignore = all\n'
    (folder.parents[1] / ".gitmodules").write_text(ignored)


UNSEEN = {
    "a row called .json": lambda folder: write(folder, __json=ROW, __json__py="code", __json__json="{}"),
    "a row called .json alone": lambda folder: write(folder, __json=ROW, __py="code"),
    "hidden": lambda folder: write(folder, __evil__json=ROW, __evil__py="code"),
    "an upper-case row": lambda folder: write(folder, evil__JSON=ROW, evil__py="code"),
    "upper case": lambda folder: write(folder, evil__JSON=ROW, evil__PY="code"),
    "an upper-case file": lambda folder: write(folder, old__Py="code"),
    "an upper-case folder": lambda folder: write(folder.parent / "Submissions", evil__json=ROW, evil__py="code"),
    "a linked folder": lambda folder: linked(folder, "other"),
    "a linked folder of results": lambda folder: linked(folder.parent, "other"),
    "a repository as the folder": replaced_by_a_repository,
    "a repository as a row": lambda folder: (write(folder, evil__py="code"), repository_within(folder, "evil.json")),
    "a linked row": lambda folder: (
        write(folder.parent, x=ROW), write(folder, evil__py="code"), (folder / "evil.json").symlink_to("../x")),
    "a linked file": lambda folder: (write(folder, evil__json=ROW), (folder / "evil.py").symlink_to("old.py")),
    "a link to nothing": lambda folder: (write(folder, evil__json=ROW), (folder / "evil.py").symlink_to("no")),
    "a name of bytes": lambda folder: write(folder, **{"\udcff__json": ROW, "\udcff__py": "code"}),
}  # fmt: skip


@pytest.mark.parametrize("change", UNSEEN.values(), ids=UNSEEN)
def test_rows_that_the_leaderboard_would_show_on_any_file_system_are_checked_or_refused(repository, change):
    change(repository)
    git("config", "advice.addEmbeddedRepo", "false")
    commit()
    with pytest.raises(Refused, match=r"no name of a submission|no plain file|is a link|small: move|not UTF-8"):
        changed("main")
    result = CliRunner().invoke(app, ["submit", "changed", "main"])
    assert result.exit_code == 2
    assert result.output.startswith("error: ")


def test_a_file_that_no_submission_has_may_be_removed(repository):
    write(repository, __json=ROW, __json__py="code", OLD__JSON=ROW)
    commit()
    git("branch", "before")
    for name in (".json", ".json.py", "OLD.JSON"):
        (repository / name).unlink()
    commit()
    assert changed("before") == []


@pytest.mark.parametrize("base", ["nowhere", "--output=x", "", "a b", "main;id"])
def test_a_revision_that_there_is_not_is_said(repository, base):
    result = CliRunner().invoke(app, ["submit", "changed", "--", base])
    assert result.exit_code == 2
    assert "git does not say what differs" in result.output
    assert not Path("x").exists()


WORKFLOW = Path(__file__).parents[3] / ".github/workflows/tests.yml"


def test_the_workflow_has_least_permissions_and_pinned_actions():
    text = WORKFLOW.read_text()
    assert "permissions:\n  contents: read\n" in text
    used = [line.split("uses:")[1].split("#")[0].strip() for line in text.splitlines() if "uses:" in line]
    assert all(len(name.partition("@")[2]) == 40 for name in used)
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")
    assert "pull_request_target" not in text
    assert "submit changed" in text
