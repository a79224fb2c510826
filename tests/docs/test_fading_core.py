from __future__ import annotations

import importlib.util
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/fading_core.py"


def test_the_figure_is_drawn_from_the_committed_leaderboard(tmp_path):
    spec = importlib.util.spec_from_file_location("fading_core", PAGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(tmp_path / "own")
    assert (tmp_path / "own.png").stat().st_size > 10_000
