"""The code of the pages on evaluating and on Python runs as it stands there."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from photo_folder import write_photos
from rrrbench.benchmark.cli import app
from rrrbench.datasets import own_code
from torch import nn
from typer.testing import CliRunner

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["evaluate.md", "python.md"])
@pytest.mark.filterwarnings("ignore:not in MLflow")
@pytest.mark.slow
def test_the_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("RRRBENCH_HOME", str(tmp_path / "home"))
    told = {}
    for code in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.S):
        exec(code, told)
    assert list(tmp_path.glob("*.png"))
    assert list((tmp_path / "home" / "records").rglob("*.json"))


def test_what_a_pass_holds_is_what_the_page_says():
    from rrrbench.benchmark.metrics.evaluating import NUMBERS_IN_A_PASS

    assert f"holds {NUMBERS_IN_A_PASS // (3 * 224 * 224)} of 224 x 224" in (DOCS / "evaluate.md").read_text()


NET = """
from torch import nn

def build():
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 3))
"""


@pytest.mark.long
def test_the_command_with_masks_and_a_size_in_brackets_runs_and_is_in_the_help(tmp_path, monkeypatch):
    page = (DOCS / "evaluate.md").read_text()
    (line,) = re.findall(r"^    rrrbench (evaluate .*image-folder.*)$", page, re.M)
    (written,) = re.findall(r"image-folder\[.*?\]", line)
    told = CliRunner().invoke(app, ["evaluate", "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    assert written in re.sub(r"[\s│]+", "", told)
    assert written in (DOCS / "data.md").read_text()
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path, images="photos", masks="masks")
    (tmp_path / "my_net.py").write_text(NET)
    torch.save(nn.Sequential(nn.Flatten(), nn.Identity(), nn.Linear(48, 3)).state_dict(), "w.pt")
    with own_code.temporary():
        told = CliRunner().invoke(app, [*shlex.split(line), "--no-log"])
    assert told.exit_code == 0, told.output
    assert "build on image-folder-photos[size=64], seed 0" in told.output
    assert "flip_rate/exchanged" in told.output
