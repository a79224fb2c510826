"""The colour and the marker of every method, the same in every figure, and which methods a figure names.

Okabe and Ito's colours (Color Universal Design, 2008) without yellow and sky blue, which are too pale on white, and a
violet: readers with any colour vision can tell them apart, and each has a contrast of 3 or more on white and on the
dark pages' ground. A marker tells apart what has one colour.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

INK, OTHER = "#000000", "#c3c8ce"
"""The colours of ERM, with which everything is compared, and of methods that a figure does not name."""
BLUE, VERMILLION, GREEN, PURPLE, VIOLET = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c3cf0"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, VIOLET)
MARKERS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "x", "star", "pentagon")
"""As Plotly calls them."""
IN_MATPLOTLIB = dict(zip(MARKERS, "osD^vX*p", strict=True))
IN_WORDS = dict(zip(MARKERS, "●■◆▲▼✖★⬟", strict=True))
"""Each marker as a character, for a label."""
MOST_NAMED = 6
"""Methods that a figure names; the others are grey."""
BASELINE = "erm"
ORDER = (
    *("rrr", "pgd_ex", "r4", "pgd_ex+rrr", "shortcut_masking"),
    *("background_swap", "find_another_explanation", "rand_r4", "pgd_r4", "cosine_rrr"),
    *("expected_gradients", "ibp_ex", "group_dro", "smooth_rrr", "integrated_gradients_penalty"),
    *("l2", "counterexamples", "ibp_ex+rrr", "avg_ex", "reweighting"),
    *("dfr", "input_gradient_l2", "cdep", "rbr", "jtt"),
)
"""Methods with a style of their own: five neighbours differ in colour and marker, those of one colour in marker."""


class Style(NamedTuple):
    """How a method is drawn: a colour in hexadecimal, and one of `MARKERS`."""

    colour: str
    marker: str


def style_of(method: str) -> Style:
    """The style of a method by its name; a name that is not in `ORDER` has the style that its hash says."""
    if method == BASELINE:
        return Style(INK, "circle")
    place = ORDER.index(method) if method in ORDER else int(sha256(method.encode()).hexdigest()[:8], 16)
    rows, column = divmod(place, len(COLOURS))
    return Style(COLOURS[column], MARKERS[(rows + column) % len(MARKERS)])


def styles(named: Iterable[str], drawn: Iterable[str]) -> dict[str, Style]:
    """The styles of the methods of a figure, the grey ones first, so that they lie below.

    Args:
        named: at most `MOST_NAMED` of them are, in this order.
        drawn: all methods of the figure.
    """
    drawn = list(dict.fromkeys(drawn))
    shown = [method for method in dict.fromkeys(named) if method in drawn][:MOST_NAMED]
    grey = {method: Style(OTHER, "circle") for method in drawn if method not in shown}
    return grey | {method: style_of(method) for method in reversed(shown)}
