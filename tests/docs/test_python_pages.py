"""The code of the pages on evaluating and on Python runs as it stands there."""

import re
from pathlib import Path

import pytest

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
