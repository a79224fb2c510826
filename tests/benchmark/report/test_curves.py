import io

import pandas as pd
import pytest
from matplotlib.backends.backend_svg import RendererSVG
from rrrbench.benchmark.figures.palette import MOST_NAMED
from rrrbench.benchmark.report.curves import ROWS, save, sweep_figure


def records(sweeps):
    rows = [
        (f"d mlp{i}", "", "2.0", "d", f"mlp{i}", "rrr", strength, seed, "finished", 0.5, "true")
        for i in range(sweeps)
        for strength in (0.1, 1)
        for seed in (0, 1)
    ]
    columns = [
        "sweep_key",
        "training",
        "protocol",
        "dataset",
        "network",
        "mitigation",
        "strength",
        "seed",
        "status",
        "accuracy/random",
        "masks",
    ]
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.long
def test_a_picture_of_many_sweeps_shows_the_first_and_says_so(tmp_path):
    figure = sweep_figure(records(ROWS + 190), "all")
    save(figure, tmp_path / "all")
    assert len(figure.axes) == ROWS
    assert figure.axes[-1].get_title(loc="left") == f"d, mlp{ROWS - 1}"
    assert figure.get_suptitle() == f"all (the first {ROWS} of {ROWS + 190} sweeps)"


def test_a_picture_of_few_sweeps_shows_all():
    figure = sweep_figure(records(2), "both")
    assert (len(figure.axes), figure.get_suptitle()) == (2, "both")


@pytest.mark.long
def test_long_names_beside_lines_are_not_cut_off_in_a_vector_format(tmp_path):
    runs = pd.concat([records(1).assign(mitigation=f"find_another_explanation {i}", flip_rate=0.5) for i in range(25)])
    figure = sweep_figure(runs, "long")
    save(figure, tmp_path / "long", (".svg",))
    figure.set_dpi(72)
    texts = figure.axes[-1].texts
    assert len(texts) == MOST_NAMED
    for text in texts:
        assert text.get_window_extent(RendererSVG(*figure.bbox.size, io.StringIO())).x1 <= figure.bbox.x1


def test_the_best_of_the_board_are_named():
    runs = pd.concat([records(1).assign(mitigation=f"method {i}") for i in range(9)])
    board = pd.DataFrame({"mitigation": ["method 8", "method 7"], "masks": "true", "sweep_key": "d mlp0"})
    (axis,) = sweep_figure(runs, "best", board).axes
    names = [text.get_text() for text in axis.texts]
    assert {"method 8", "method 7"} <= set(names)
    assert len(names) == MOST_NAMED


def test_two_trainings_are_two_rows_whose_titles_say_the_difference():
    short = records(1).assign(training="epochs=2", sweep_key="short")
    figure = sweep_figure(pd.concat([records(1), short]), "both")
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["d, mlp0, epochs=50", "d, mlp0, epochs=2"]


def test_a_picture_of_runs_with_wrong_masks_alone_says_that_it_has_none():
    figure = sweep_figure(records(1).assign(masks="wrong"), "own")
    assert figure.axes == []
    assert [text.get_text() for text in figure.texts] == ["own", "no finished run with true masks"]


def test_a_dot_in_a_name_is_no_suffix(tmp_path):
    save(sweep_figure(records(1), "own"), tmp_path / "v1.5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v1.5.pdf", "v1.5.png"]
