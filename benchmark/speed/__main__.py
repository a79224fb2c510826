"""How fast rrrbench is: `make speed` prints the tables, most of ratios of two things timed in turns.

The plain loop is what a paper's released code does: one network, `autograd.grad(create_graph=True)`, `backward`, Adam.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from tqdm import tqdm

from . import cases
from . import sizes as sizes_of
from .dispatch import small_step
from .spinning import spinning_figures
from .suites import suite_figures
from .table import report


def main(
    out: Annotated[Path, typer.Option(help="Where to write the tables, as Markdown.")] = Path("results/local/speed.md"),
) -> None:
    """Measures this machine in less than ten minutes; the decoy-mnist suite too, if its data are there."""
    torch.set_flush_denormal(True)
    gpu, draws = torch.cuda.is_available(), [cases.decoy.make(seed) for seed in range(8)]
    groups = [
        cases.penalty_figures(draws[0]),
        cases.sweep_figures(draws),
        cases.gpu_figures(draws) if gpu else cases.side_by_side_figure(draws[0]),
        *(() if gpu else (spinning_figures(),)),
        suite_figures(),
    ]
    figures = [figure for group in groups for figure in tqdm(group, "figures", leave=False)]
    stacks = list(tqdm(cases.growth(draws), "stacks", leave=False))
    inputs = list(tqdm(cases.growth_in_inputs(draws[0]), "inputs", leave=False))
    sizes = [sizes_of.measured(runs) for runs in tqdm(sizes_of.SIZES, "sizes", leave=False)]
    figures += sizes_of.straight(sizes)
    operators = [] if gpu else cases.profile(draws[0])
    text = report(figures, stacks, inputs, [size.row() for size in sizes], operators, small_step(draws[0]))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text + "\n")
    typer.echo(f"{text}\n\nwrote {out}")


if __name__ == "__main__":
    typer.run(main)
