"""Files of the user's own: what is loaded, under which name, and what is refused."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys

import pytest
from rrrbench.datasets import own_code
from rrrbench.datasets.own_code import Refused


@pytest.fixture(autouse=True)
def _forgotten():
    with own_code.temporary():
        yield


@pytest.fixture
def write(tmp_path):
    def write(name: str, text: str):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_function_of_a_file(write):
    path = write("my_own_net.py", "def build():\n    return 3\n")
    assert own_code.function(f"{path}:build")() == 3
    assert own_code.digest_of("my_own_net") == hashlib.sha256(path.read_bytes()).hexdigest()
    assert own_code.digest_of("torch") == ""


@pytest.mark.parametrize(
    ("spec", "message"),
    {
        "{folder}/my_own_net.py": "write FILE.py:NAME",
        "{folder}/my_own_net:build": "write FILE.py:NAME",
        "{folder}/missing.py:build": "there is no file .*missing.py",
        "{folder}/my_own_net.py:other": "defines no function 'other': it defines build, Net",
        "{folder}/my_own_net.py:system": "defines no function 'system'",
        "{folder}/my_own_net.py:FIVE": "defines no function 'FIVE'",
    }.items(),
)
def test_what_is_no_function_of_a_file(write, tmp_path, spec, message):
    write("my_own_net.py", "from os import system\nFIVE = 5\ndef build(): ...\nclass Net: ...\n")
    with pytest.raises((Refused, FileNotFoundError), match=message):
        own_code.function(spec.format(folder=tmp_path))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("my_own_net.py", "1 / 0", "cannot be imported: ZeroDivisionError"),
        ("my_own_net.py", "raise SystemExit(3)", r"calls sys.exit\(3\)"),
        ("my_own_net.py", "def", "cannot be imported: SyntaxError"),
        ("random.py", "", "a module 'random' is there already.*another name"),
        ("my-net.py", "", "call it such as my_net.py"),
        ("my_own_net.txt", "", "call it such as my_net.py"),
    ],
)
def test_a_file_that_cannot_be_imported_leaves_nothing_behind(write, name, text, message):
    path = write(name, text)
    modules = dict(sys.modules)
    with pytest.raises(Refused, match=message):
        own_code.load([path])
    assert own_code.loaded() == ()
    assert sys.modules == modules


def test_files_import_the_files_before_them_and_their_digests_say_so(write):
    blocks = write("my_own_blocks.py", "WIDTH = 4\n")
    net = write("my_own_net.py", "from my_own_blocks import WIDTH\ndef build():\n    return WIDTH\n")
    own_code.load([blocks, net])
    assert own_code.defined("my_own_net", "build")() == 4
    before = own_code.digest_of("my_own_net")
    blocks.write_text("WIDTH = 5\n")
    own_code.load([blocks, net])
    assert own_code.digest_of("my_own_net") != before


NOT_IN_THE_KEY = (
    r"net\.py imports \S+my_own_blocks\.py, which is not in the key.*--with my_own_blocks\.py --with my_own"
)


@pytest.mark.parametrize("importing", ["import my_own_blocks", "def build():\n    from my_own_blocks import WIDTH"])
@pytest.mark.parametrize("found", ["by Python too", "by nobody"])
@pytest.mark.parametrize("where", ["its own folder", "the current folder"])
def test_a_file_beside_it_that_is_not_loaded_is_refused(write, tmp_path, monkeypatch, where, found, importing):
    blocks = write("my_own_blocks.py", "WIDTH = 4\n")
    folder = tmp_path
    if where == "the current folder":
        monkeypatch.chdir(tmp_path)
        folder = tmp_path / "other"
        folder.mkdir()
    if found == "by Python too":
        monkeypatch.syspath_prepend(str(tmp_path))
    net = folder / "my_own_net.py"
    net.write_text(importing)
    for files in ([net], [net, blocks]):
        with pytest.raises(Refused, match=NOT_IN_THE_KEY):
            own_code.load(files)
    assert own_code.loaded() == ()
    own_code.load([blocks, net])


def test_a_file_beside_it_with_the_name_of_an_installed_module_is_not_what_is_imported(write):
    write("torch.py", "")
    write("math.py", "")
    own_code.load([write("my_own_net.py", "import math\nimport torch\nfrom torch import nn\n")])


def test_two_files_of_one_name_are_refused(write, tmp_path):
    (tmp_path / "other").mkdir()
    one, two = write("my_own_net.py", "def build(): ...\n"), write("other/my_own_net.py", "def build(): ...\n")
    own_code.load([one])
    with pytest.raises(Refused, match="another name"):
        own_code.load([two])


def test_a_file_that_changed_is_loaded_anew(write):
    path = write("my_own_net.py", "def build():\n    return 3\n")
    own_code.load([path])
    write("my_own_net.py", "def build():\n    return 4\n")
    assert own_code.function(f"{path}:build")() == 4


@pytest.mark.long
def test_another_process_has_the_file_as_it_was_loaded(write, tmp_path):
    """The file's text travels, not its path: the file may have changed, or lie on no disk of the other machine."""
    path = write("my_own_net.py", "class Net:\n    width = 3\n")
    own_code.load([path])
    packed = tmp_path / "packed"
    packed.write_bytes(pickle.dumps((own_code.loaded(), pickle.dumps(own_code.defined("my_own_net", "Net")))))
    path.unlink()
    code = (
        "import pickle, sys; from rrrbench.datasets import own_code\n"
        "files, net = pickle.loads(open(sys.argv[1], 'rb').read())\n"
        "own_code.restore(files); print(pickle.loads(net).width)"
    )
    assert subprocess.run([sys.executable, "-c", code, packed], capture_output=True, text=True).stdout == "3\n"


def test_what_a_loaded_file_registers_has_the_files_digest_in_its_keys(write):
    """An entry that is installed or ours has a version instead."""
    from rrrbench.datasets.recipe import datasets

    text = (
        "from rrrbench.datasets.decoy import Decoy, datasets\n@datasets.register\nclass Own(Decoy):\n    name = 'own'\n"
    )
    path = write("my_own_data.py", text)
    with datasets.temporary():
        own_code.load([path])
        before = datasets.resolve("own").identity()
        assert before["source"] == hashlib.sha256(path.read_bytes()).hexdigest()
        path.write_text(text + "    version = 1\n")
        own_code.load([path])
        assert datasets.resolve("own").identity()["source"] != before["source"]
        assert "source" not in datasets.resolve("decoy").identity()
