"""The file of engines that `auto` chose."""

from __future__ import annotations

import json

import pytest
from rrrbench.benchmark.running.choices import Choices


def test_a_choice_is_kept(tmp_path):
    Choices(tmp_path / "engine.json")["a shape"] = "stacked"
    assert dict(Choices(tmp_path / "engine.json")) == {"a shape": "stacked"}


@pytest.mark.parametrize("content", [b"", b"garbage", b"[]", b"3", b"null", b'{"a": ', b"\xff\xfe", b"\x00"])
def test_a_file_that_does_not_read_is_ignored_and_written_anew(tmp_path, content):
    path = tmp_path / "engine.json"
    path.write_bytes(content)
    choices = Choices(path)
    assert not choices
    choices["a shape"] = "single"
    assert json.loads(path.read_text()) == {"a shape": "single"}


def test_a_folder_in_the_place_of_the_file_is_ignored(tmp_path):
    (tmp_path / "engine.json").mkdir()
    assert not Choices(tmp_path / "engine.json")
