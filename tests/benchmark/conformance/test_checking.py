"""`rrrbench check` of files that exit, hang, or leave something behind: each in a process of its own, with a limit."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from rrrbench.benchmark.cli import app
from rrrbench.benchmark.conformance.explainer_laws import laws
from test_file_laws import EXPLAINER, HEAD, HOLDS
from typer.testing import CliRunner

GOOD = HEAD + HOLDS["explainer"]
RUN = "from rrrbench.benchmark.cli import app; app()"


SLOW = pytest.mark.slow


@pytest.fixture
def check(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(content: str, *words: str):
        (tmp_path / "own.py").write_text(content)
        return CliRunner().invoke(app, ["check", "own.py", *words], catch_exceptions=False)

    return run


def refused(result) -> str:
    """The words of a refusal, which has status 2 and names the file."""
    said = " ".join(result.output.split())
    assert result.exit_code == 2, said
    assert "own.py" in said
    assert "Traceback" not in said
    return said


def explaining(statement: str) -> str:
    return HEAD + EXPLAINER.format(body=statement)


@pytest.mark.long
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("import os; os._exit(0)", "ended its process with status 0 before it was checked: remove what ends"),
        pytest.param(
            explaining("import os; os._exit(0)"),
            'with status 0 before it was checked, in law "1 attributions have the',
            marks=SLOW,
        ),
        pytest.param("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was killed by signal 9", marks=SLOW),
        ("raise KeyboardInterrupt", "raises KeyboardInterrupt"),
        pytest.param("import os, sys; sys.stdout.close(); os._exit(3)", "ended its process with status 3", marks=SLOW),
    ],
)  # fmt: skip
def test_a_file_that_ends_its_process_is_refused_with_how_and_where(check, content, reason):
    assert reason in refused(check(content))


@pytest.mark.long
@pytest.mark.parametrize(
    "content",
    [
        "while True: pass",
        "import signal, time\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\ntime.sleep(10**6)",
    ],
)
def test_a_file_that_hangs_is_refused_after_the_limit(check, content):
    begin = time.monotonic()
    assert "was not checked within 2 s" in refused(check(content, "--max-seconds", "2"))
    assert time.monotonic() - begin < 30


@pytest.mark.slow
@pytest.mark.faults
def test_a_check_that_is_killed_leaves_no_process(tmp_path):
    file, told = tmp_path / "own.py", tmp_path / "pid"
    file.write_text(f"import os, pathlib\npathlib.Path({str(told)!r}).write_text(str(os.getpid()))\nwhile True: pass")
    command = subprocess.Popen([sys.executable, "-c", RUN, "check", str(file)])
    wait_until(lambda: told.is_file() and told.read_text(), 60)
    command.kill()
    command.wait()
    wait_until(lambda: not Path(f"/proc/{told.read_text()}").exists(), 30)


def wait_until(holds, seconds):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_a_law_that_hangs_is_named(check):
    content = explaining("if len(inputs) == 1:\n            while True: pass\n        return inputs * 1")
    said = refused(check(content, "--max-seconds", "20"))
    assert "within 20 s, in law '2 an input is attributed the same in any batch' of explainer own" in said
    assert "holds   1 attributions" in said.replace("holds ", "holds   "), "laws are shown as they are checked"


LEFT = {
    "a thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()",
    "stdout closed": "sys.stdout.close()",
    "descriptors closed": "import os\nos.close(1)\nos.close(2)",
    "an exit function that raises": "import atexit\natexit.register(lambda: 1 / 0)",
    "an exit function that ends with another status": "import atexit, os\natexit.register(os._exit, 7)",
}


@pytest.mark.slow
@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT)
def test_what_a_file_leaves_behind_does_not_hold_up_its_check(check, left):
    begin = time.monotonic()
    result = check(f"{GOOD}\n{left}\n")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("holds") == len(laws())
    assert time.monotonic() - begin < 60


@pytest.mark.parametrize(
    ("content", "place"),
    [
        pytest.param(
            "import threading as t\none = t.Thread(target=lambda: 1 / 0)\none.start()\none.join()",
            "a thread",
            marks=SLOW,
        ),
        pytest.param("class Odd:\n    def __del__(self): 1 / 0\nOdd()", "Odd.__del__", marks=SLOW),
    ],
)  # fmt: skip
def test_errors_that_python_only_prints_are_warnings_with_their_line(tmp_path, content, place):
    (tmp_path / "own.py").write_text(f"{GOOD}\n{content}\n")
    command = [sys.executable, "-c", RUN, "check", "own.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert f"raises ZeroDivisionError in {place} (own.py, line " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.count("holds") == len(laws())


@pytest.mark.slow
def test_what_a_file_starts_is_killed_with_it(check, tmp_path):
    started = f"""
    import pathlib, subprocess
    p = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(p.pid))
    """
    assert check(GOOD + textwrap.dedent(started)).exit_code == 0
    time.sleep(0.5)
    state = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    assert not state.exists() or state.read_text().split(") ")[1][0] == "Z"
