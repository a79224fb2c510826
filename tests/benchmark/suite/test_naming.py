"""Names of suites: a file in the folder that was named can be called by it, or it is refused."""

from __future__ import annotations

import pytest
from rrrbench.benchmark.suite.loading import BadSuite, load_suite
from rrrbench.benchmark.suite.naming import LONGEST, file_name
from tiny import tiny_suite

HOSTILE = (
    *(
        "../../../x",
        "/tmp/x",
        "a/b",
        "a\\b",
        "x" * 300,
        "x" * (LONGEST + 1),
        "ü" * LONGEST + "ü",
        "a\0b",
        "",
        ".",
        "..",
    ),
    *("a\nb", "a\n", "\ta", " a", "a ", "a.", ".hidden", "-rf", "~", "~root", "a\rb", "a:b", "C:\\x", "$HOME", "a;b"),
    *("a|b", "a*b", "a?b", "a\u2028b", "a\x1b[31m", "a\u202eb", "\ud800", "%2e%2e%2fx", "<b>", "a'b", 'a"b', "`id`"),
)
HARMLESS = (
    "bench",
    "my suite",
    "mitigations-quick",
    "ross2017",
    "größe",
    "v1.2",
    "a_b",
    "_x",
    "own (2)",
    "x" * LONGEST,
)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_would_leave_the_folder_is_no_name(name):
    with pytest.raises(ValueError, match="cannot name files: use up to 100 letters"):
        file_name(name)
    with pytest.raises(BadSuite, match=r"name: .*cannot name files"):
        tiny_suite(name)


@pytest.mark.parametrize("name", HARMLESS)
def test_a_name_of_words_is_kept(name):
    assert tiny_suite(name).name == name


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a\\nb", "..", "x\\u0000"])
def test_a_file_that_names_its_suite_so_is_refused_before_anything_is_written(name, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(f'name = "{name}"\nseeds = [0]\n')
    with pytest.raises(BadSuite, match=r"own\.toml: .*name: .*cannot name files"):
        load_suite(str(path))
    assert [file.name for file in tmp_path.iterdir()] == ["own.toml"]
