"""The reference: a page for each entry of a registry and for each module, as Markdown."""

from __future__ import annotations

import inspect
import pkgutil
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path

import latex2mathml.converter
import pandas as pd
from rrrbench.benchmark.conformance.laws import laws
from rrrbench.benchmark.metrics.base import metrics
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.ranking.rendering import protocols_in_words
from rrrbench.benchmark.report.recorded import recorded
from rrrbench.datasets.recipe import datasets
from rrrbench.datasets.registry import Named, Registry
from rrrbench.methods.base import Mitigation, mitigations
from rrrbench.methods.explainers.base import Explainer, explainers

REGISTRIES: dict[str, Registry] = {
    "mitigations": mitigations,
    "explainers": explainers,
    "datasets": datasets,
    "networks": networks,
}
PACKAGES = ("rrrbench.datasets", "rrrbench.methods", "rrrbench.benchmark")
SYMBOLS = {
    "mitigations": "*x<sub>n</sub>* are the inputs of a batch, with features *d* and labels *y<sub>n</sub>*; "
    "*z<sub>k</sub>* are the logits, *p<sub>k</sub>* their softmax; *A<sub>n</sub>* is the mask, *λ* the strength.",
    "explainers": "*a* is the attribution of an input *x* with features *d*, *b* the baseline; *z<sub>t</sub>* is the "
    "logit of the target class, *p* the softmax of the logits.",
}
MEASURED = {
    "mitigations": {
        "accuracy/random": "accuracy/random",
        "flip_rate": "flip_rate",
        "mask_effect": "mask effect",
    },
    "explainers": {"rank_correlation": "rank correlation", "auroc": "auroc", "untrained": "untrained"},
}
SETTINGS = ("dataset", "network", "mitigation", "explainer", "masks", "rule", "strength", "seeds", "note")
SHARED = ("network", "mitigation", "explainer", "rule", "seeds")
"""Settings that are said once above a table where all its rows have the same."""
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def math(equation: str) -> str:
    """The equation as a block of MathML."""
    markup = latex2mathml.converter.convert(rf"\begin{{align*}}{equation}\end{{align*}}", display="block")
    return re.sub("<mi>(log|cos|exp)</mi>", r'<mo lspace="0.17em" rspace="0.17em">\1</mo>', markup)


@dataclass(frozen=True)
class Reference:
    """The pages of everything that is registered, with what the committed tables have measured."""

    root: Path

    def pages(self) -> dict[str, str]:
        """The Markdown of every page by its path."""
        written: dict[str, str] = {}
        for kind, registry in REGISTRIES.items():
            entries = {name: registry[name] for name in registry.names()}
            written[f"reference/{kind}/README.md"] = overview(kind, entries.values())
            for name, entry in entries.items():
                written[f"reference/{kind}/{name}.md"] = "\n\n".join(self.sections(kind, entry)) + "\n"
        written["reference/metrics.md"] = metrics_page()
        methods = {REGISTRIES[kind][name].__module__ for kind in REGISTRIES for name in REGISTRIES[kind].names()}
        for name in sorted(set(modules()) - methods):
            written[f"reference/api/{name}.md"] = f"# {name}\n\n::: {name.removeprefix('rrrbench.')}\n"
        return written

    def sections(self, kind: str, entry: type[Named]) -> Iterator[str]:
        """The parts of an entry's page."""
        yield f"# {entry.name}"
        yield paragraph(entry)
        if issubclass(entry, Mitigation | Explainer):
            yield "\n".join(f"- {line}" for line in says(entry))
            yield f'## Equation\n\n<div class="equation">{math(entry.equation)}</div>\n\n{SYMBOLS[kind]}'
        text = inspect.getdoc(sys.modules[entry.__module__])
        yield f"## What it is\n\n{text}" if text else ""
        yield f"## Parameters\n\n{parameters(entry)}"
        if issubclass(entry, Mitigation):
            yield "## Laws\n\nHeld to (`rrrbench.benchmark.conformance.laws`):\n\n" + "\n".join(
                f"- {law}" for law in laws(entry())
            )
        if kind in MEASURED:
            yield f"## Measured\n\n{self.measured(kind, entry.name)}"
        yield f"Source: `{Path(inspect.getfile(entry)).relative_to(self.root).as_posix()}`"

    def measured(self, kind: str, name: str) -> str:
        """The rows of the committed leaderboards, by file; strengths as the rule of the row chose them."""
        column, shown = kind.removesuffix("s"), MEASURED[kind]
        parts = []
        for file, protocol, board in self.leaderboards:
            if column not in board or not set(shown) & set(board):
                continue
            rows = board[board[column].str.partition("[")[0] == name]
            if rows.empty:
                continue
            cells = {
                title: [*rows[title].map(short)] for title in SETTINGS if title in rows and rows[title].notna().any()
            }
            same = [f"{title} {cells.pop(title)[0]}" for title in SHARED if len(set(cells.get(title, []))) == 1]
            cells |= {title: interval(rows, metric) for metric, title in shown.items() if metric in rows}
            caption = ", ".join([f"[{file}](../../{file})", protocol, *same])
            parts.append(f"{caption}:\n\n{pd.DataFrame(cells).to_markdown(index=False)}")
        return "\n\n".join(parts) or "No committed leaderboard has a row of it."

    @cached_property
    def leaderboards(self) -> list[tuple[str, str, pd.DataFrame]]:
        """Every committed leaderboard: its file, the protocol of its records in words, its rows."""
        files = sorted((self.root / "results/leaderboard").glob("*.csv"))
        return [(path.relative_to(self.root).as_posix(), self.protocol(path.stem), pd.read_csv(path)) for path in files]

    def protocol(self, suite: str) -> str:
        """The protocol under which a suite's committed records were made."""
        records = self.root / f"results/records/{suite}.parquet"
        if not records.exists():
            return "protocol not recorded"
        return protocols_in_words(recorded(str(records)).runs)


def overview(kind: str, entries: Iterable[type[Named]]) -> str:
    """The page of a kind: a line for each entry."""
    rows = []
    for entry in entries:
        row = {"name": f"[{entry.name}]({entry.name}.md)"}
        if issubclass(entry, Mitigation):
            row |= {"paper": entry.paper, "needs": ", ".join(needs(entry)) or "nothing"}
        rows.append(row | {"what it does": paragraph(entry).partition("\n")[0]})
    return f"# {kind.capitalize()}\n\n{pd.DataFrame(rows).to_markdown(index=False)}\n"


def metrics_page() -> str:
    """A table of every metric."""
    rows = [
        {
            "metric": f"`{metric.id}`",
            "meaning": metric.meaning,
            "better": metric.better,
            "range": f"{metric.low:g} … {metric.high:g}",
            "chance": metric.chance,
        }
        for metric in metrics
    ]
    return f"# Metrics\n\n{pd.DataFrame(rows).to_markdown(index=False)}\n"


def paragraph(entry: type[Named]) -> str:
    """The class's docstring up to its sections."""
    return (inspect.getdoc(entry) or "").partition("\n\nAttributes:")[0]


def says(entry: type[Mitigation | Explainer]) -> Iterator[str]:
    """What an entry says about itself."""
    if issubclass(entry, Mitigation):
        yield f"Paper: {entry.paper}"
        yield f"Needs: {', '.join(needs(entry)) or 'nothing beyond labels'}"
        yield f"Strength: {'yes' if entry.has_strength else 'none: one row, at strength 0'}"
        yield f"Stages of training: {entry().stages}"
    else:
        yield f"Needs: {', '.join(needs(entry)) or 'a function from inputs to logits'}"
        yield f"Baseline: {'yes' if entry.has_baseline else 'no'}"
        yield f"Draws: {'yes, the same for every input' if entry.draws else 'no'}"


def needs(entry: type[Mitigation | Explainer]) -> list[str]:
    """What an entry asks for: supervision, and layers of the network."""
    flags = {
        "layers": "needs_layers",
        "convolutions": "needs_convolutions",
        "a minority among the training inputs": "needs_minority",
    }
    return [
        *sorted(entry().needs if issubclass(entry, Mitigation) else ()),  # by its parameters' defaults
        *(what for what, flag in flags.items() if getattr(entry, flag, False)),
    ]


def parameters(entry: type[Named]) -> str:
    """A table of the entry's fields."""
    rows = [
        {
            "parameter": f"`{field.alias or name}`",
            "type": inspect.formatannotation(field.annotation).replace("|", "or"),
            "bounds": ", ".join(
                f"{sign} {getattr(bound, key):g}"
                for bound in field.metadata
                for key, sign in SIGNS.items()
                if hasattr(bound, key)
            ),
            "default": "required" if field.is_required() else f"`{field.default!r}`",
            "description": field.description or "",
        }
        for name, field in entry.model_fields.items()
    ]
    return pd.DataFrame(rows).to_markdown(index=False) if rows else "None."


def modules() -> Iterator[str]:
    """The names of the package's modules that say something: `__main__` is a program."""
    for package in map(import_module, PACKAGES):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                yield module.name


def interval(rows: pd.DataFrame, metric: str) -> list[str]:
    """The means of a metric with their intervals: `0.945 [0.930, 0.958]`."""
    columns = rows[[metric, f"{metric}:low", f"{metric}:high"]].to_numpy()
    return ["" if pd.isna(mean) else f"{mean:.3f} [{low:.3f}, {high:.3f}]" for mean, low, high in columns]


def short(value: object) -> str:
    """A cell of a table."""
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:g}"
    return str(value)
