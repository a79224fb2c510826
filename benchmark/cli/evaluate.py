"""`rrrbench evaluate`: judges a network that somebody trained."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..store.home import home
from .errors import explained
from .options import DataRoot, use_data_root

if TYPE_CHECKING:
    from ...methods.explainers.base import ForwardFunction

DEVICES = "Where the network computes, as torch names it: cpu, cuda, cuda:1."


def evaluate(
    network: Annotated[
        str,
        typer.Argument(
            help="FILE.py:NAME, a function that builds the network; it may take features (an input's shape) and "
            "classes. The file is run."
        ),
    ],
    dataset: Annotated[
        str,
        typer.Option(
            help="A dataset with its base, such as decoy-mnist; a folder of photos; or a folder with parameters, "
            # a bracket without a backslash is markup of the help
            "such as 'image-folder\\[root=photos,mask_root=masks,size=64]' (docs/data.md has all)."
        ),
    ],
    weights: Annotated[
        Path | None, typer.Option(help="A state dict, of the module or kept by a suite; read with weights_only.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the network, in tables; else the function's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw of the dataset.")] = 0,
    normalize: Annotated[str | None, typer.Option(help="imagenet, if the network expects such inputs.")] = None,
    explainer: Annotated[list[str] | None, typer.Option(help="A further explainer; repeatable.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images in a forward pass.")] = None,
    device: Annotated[str, typer.Option(help=DEVICES)] = "cpu",
    figure: Annotated[Path | None, typer.Option(help="Write the picture to this PNG, SVG or PDF.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Write a row a test input to this CSV: photo, label, predictions.")
    ] = None,
    log: Annotated[bool, typer.Option(help="Keep the record for leaderboards, and log it to MLflow.")] = True,
    data_root: DataRoot = None,
) -> None:
    """Judges a trained network: accuracy by environment, flips when the shortcut alone changes, and where it looks."""
    use_data_root(data_root)
    with explained():
        from ..judge import evaluate as judge

        if normalize not in (None, "imagenet"):
            raise ValueError(f"--normalize {normalize!r}: imagenet is known; from Python, give (mean, std) by channel")
        built = _built(network, weights, dataset, seed, _available(device))
        report = judge(
            built,
            dataset,
            seed=seed,
            name=name or network.rpartition(":")[2],
            normalize="imagenet" if normalize else None,
            explainers=explainer or (),
            batch_size=batch_size,
        )
        if figure is not None:
            report.figure().savefig(figure, dpi=110)
        if predictions is not None:
            report.predictions.to_csv(predictions)
        typer.echo(str(report))
        for written in filter(None, (figure, predictions)):
            typer.echo(f"wrote {written}")
        if log:
            report.log()
            typer.echo(f"kept in {home()}: the leaderboard of every suite on {report.identity.dataset_id} shows it")


def _available(device: str) -> str:
    """The device, if torch has it.

    Raises:
        ValueError: it has not, or there is no such name.
    """
    import torch

    try:
        if torch.device(device).type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"--device {device}: torch sees no CUDA device; use --device cpu")
        torch.empty(0, device=device)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {device!r}: {reason}: use cpu, or cuda where there is a GPU") from error
    return device


def _built(spec: str, weights: Path | None, dataset: str, seed: int, device: str) -> ForwardFunction:
    """The network of FILE.py:NAME for this dataset with its weights, on the device."""
    import torch

    from ...datasets.image_folder import recipe_of
    from ...datasets.own_code import Refused, function
    from ..networks.module import built, with_weights
    from ..networks.weights import read

    build = function(spec)
    told = _parameters(build) & {"features", "classes"}
    draw = recipe_of(dataset).make(seed) if told or weights is not None else None
    try:
        network = built(build, draw.features, draw.classes) if told and draw else build()
    except TypeError as error:
        raise Refused(f"{spec} cannot be called without arguments, or with features and classes: {error}") from error
    if not callable(network):
        raise Refused(f"{spec} gives a {type(network).__name__}, no network: let it return an nn.Module")
    if weights is not None and draw is not None:
        if not isinstance(network, torch.nn.Module):
            raise Refused(f"{spec} gives a function, which takes no --weights: let it return an nn.Module")
        network = with_weights(network, read(str(weights), ""), draw.train.batch(slice(2)).inputs, str(weights))
    return network.to(device) if isinstance(network, torch.nn.Module) else network


def _parameters(build: Callable[..., Any]) -> set[str]:
    """The names of a function's parameters; none of a function whose parameters nobody knows."""
    try:
        return set(inspect.signature(build).parameters)
    except ValueError:
        return set()
