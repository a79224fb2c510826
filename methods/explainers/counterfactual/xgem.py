"""xGEM: exemplars on the generator's manifold (Joshi et al. 2018, arxiv.org/abs/1806.08867, equation 2).

    -log p_other(G(z')) + reconstruction |x - G(z')|_1

DiVE's objective without its diversity, its lasso, and its confinement.
"""

from __future__ import annotations

from typing import ClassVar

from .dive import Dive


class Xgem(Dive):
    """The nearest image, in pixels, with another prediction; explanations differ by their start alone."""

    name: ClassVar[str] = "xgem"

    def __init__(
        self, num_explanations: int = 10, lr: float = 0.1, num_iters: int = 50, reconstruction_weight: float = 0.001
    ) -> None:
        super().__init__(num_explanations, lr, num_iters, 0.0, 0.0, reconstruction_weight, "none")
