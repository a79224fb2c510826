"""Fills the masked region of an image from its border, as a soap film would: what removes a shortcut."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int


def harmonic_fill(
    image: Float[np.ndarray, "channels height width"], mask: Bool[np.ndarray, "height width"]
) -> Float[np.ndarray, "channels height width"]:
    """The image, with each masked pixel the mean of its neighbours (Laplace's equation, solved exactly).

    So colours run smoothly from border to border, and no value lies outside the border's. An image that is masked
    everywhere becomes its own mean colour.
    """
    from scipy.sparse import coo_array  # takes a while to import
    from scipy.sparse.linalg import splu

    if not mask.any():
        return image
    if mask.all():
        return np.broadcast_to(image.mean((1, 2), keepdims=True), image.shape).copy()
    place = np.full(mask.shape, -1)
    rows, columns = np.nonzero(mask)
    place[rows, columns] = np.arange(len(rows))
    degree, known = np.zeros(len(rows)), np.zeros((len(rows), len(image)))
    edges: list[tuple[Int[np.ndarray, "k"], Int[np.ndarray, "k"]]] = []
    for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        r, c = rows + down, columns + right
        inside = (r >= 0) & (r < mask.shape[0]) & (c >= 0) & (c < mask.shape[1])
        own = np.flatnonzero(inside)
        neighbour = place[r[own], c[own]]
        degree[own] += 1
        outer = own[neighbour < 0]
        known[outer] += image[:, r[outer], c[outer]].T
        edges.append((own[neighbour >= 0], neighbour[neighbour >= 0]))
    one, other = (np.concatenate(ends) for ends in zip(*edges, strict=True))
    every = np.arange(len(rows))
    values = np.concatenate([degree, -np.ones(len(one))])
    places = np.concatenate([every, one]), np.concatenate([every, other])
    solution = splu(coo_array((values, places)).tocsc()).solve(known)
    filled = image.copy()
    filled[:, rows, columns] = solution.T
    return filled
