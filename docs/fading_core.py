"""The figure of docs/results.md on a core that fades: `python docs/fading_core.py`, from the committed leaderboard."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from rrrbench.benchmark.figures.axes import FLIP_RATE, label_ends
from rrrbench.benchmark.figures.lines import over_strength
from rrrbench.benchmark.figures.palette import style_of
from rrrbench.benchmark.report.curves import save

ROOT = Path(__file__).parents[1]


def main(out: Path = ROOT / "docs/images/fading-core") -> None:
    """Draws each method's flip rate over the contrast of the digits, with 95 % t intervals."""
    columns = ["dataset", "mitigation", "flip_rate", "flip_rate:low", "flip_rate:high"]
    board = pd.read_csv(ROOT / "results/leaderboard/fading-core.csv", usecols=columns)
    written = board["dataset"].str.extract(r"core_contrast=([\d.]+)")[0]
    board = board.assign(contrast=written.astype(float).fillna(1.0)).sort_values("contrast")
    figure = Figure(figsize=(6.2, 3.4), layout=ConstrainedLayoutEngine(w_pad=0.15))
    axis, ends = figure.subplots(), []
    for mitigation, own in board.groupby("mitigation"):
        bands = {"mean": own["flip_rate"], "low": own["flip_rate:low"], "high": own["flip_rate:high"]}
        numbers = {name: values.to_numpy() for name, values in bands.items()}
        end = over_strength(axis, own["contrast"].to_numpy(), numbers, style_of(str(mitigation)))
        ends.append(end._replace(text=str(mitigation)))
    axis.set(xlabel="contrast of the digits (share of full contrast)", ylabel=FLIP_RATE)
    label_ends(axis, ends)
    save(figure, out, [".png"])


if __name__ == "__main__":
    main()
