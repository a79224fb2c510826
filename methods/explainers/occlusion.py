"""Captum's occlusion (Zeiler, Fergus 2014, arxiv.org/abs/1311.2901): drop of the logit without a window of the input.

    a_d = mean over the windows W that hold d of z_t(x) - z_t(x with b in W)

A window covers all channels of an image, or a single feature of a vector. Captum rounds the attributions to float32.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from .base import Explainer, ForwardFunction, explainers


@explainers.register
class Occlusion(Explainer):
    """Drop of the target's logit when windows of the input are replaced by the baseline."""

    name: ClassVar[str] = "occlusion"
    equation: ClassVar[str] = (
        r"a_d &= \underset{W \ni d}{\operatorname{mean}} \left( z_t(x) - z_t(x_{W \leftarrow b}) \right)"
    )
    has_baseline: ClassVar[bool] = True

    window: Annotated[int, Field(ge=1, description="pixels a side, at most the image's side")] = 4
    stride: Annotated[int, Field(ge=1, description="pixels from one window to the next, at most a window")] = 2

    def explain(
        self,
        network: ForwardFunction,
        inputs: Float[Tensor, "batch *features"],
        target: Int[Tensor, "batch"],
        baselines: Float[Tensor, "batch *features"],
    ) -> Float[Tensor, "batch *features"]:
        from captum.attr import Occlusion as Captum

        window, step = self._window(inputs.shape[1:], self.window), self._window(inputs.shape[1:], self.stride)
        return Captum(network).attribute(
            inputs,
            sliding_window_shapes=window,
            strides=step,
            baselines=baselines,
            target=target,
            perturbations_per_eval=max(1, self.inputs_in_a_pass(inputs) // len(inputs)),
        )

    @staticmethod
    def _window(features: tuple[int, ...], side: int) -> tuple[int, ...]:
        if len(features) == 1:
            return (1,)
        channels, *sides = features
        return channels, *(min(side, size) for size in sides)
