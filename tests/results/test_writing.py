"""Files are written whole or not at all, in UTF-8 with LF, whatever the locale."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.results.run_config import read_config
from bofl_jax.results.writing import check_unused, write_arrays, write_csv, write_json, write_json_lines, write_text

ROOT = Path(__file__).parents[2]


def test_text_is_utf_8_with_lf(tmp_path):
    write_text(tmp_path / "a.txt", "é\nü\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\nü\n".encode()


def test_json_is_indented_and_ascii(tmp_path):
    write_json(tmp_path / "a.json", {"a": [1], "é": None})
    assert (tmp_path / "a.json").read_bytes() == b'{\n "a": [\n  1\n ],\n "\\u00e9": null\n}\n'
    write_json_lines(tmp_path / "a.jsonl", [{"a": 1}, {}])
    assert (tmp_path / "a.jsonl").read_bytes() == b'{"a": 1}\n{}\n'


def test_csv_has_all_columns_and_crlf(tmp_path):
    write_csv(tmp_path / "a.csv", [{"a": "é"}, {"a": 1, "b": None}])
    assert (tmp_path / "a.csv").read_bytes() == "a,b\r\né,\r\n1,\r\n".encode()


def test_nothing_but_the_file_is_left(tmp_path):
    write_text(tmp_path / "a.txt", "")
    write_csv(tmp_path / "a.csv", [{"a": 1}])
    write_arrays(tmp_path / "a.npz", {"x": np.zeros(2)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.npz", "a.txt"]


def test_a_file_that_cannot_be_completed_keeps_its_old_content(tmp_path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", object())
    with pytest.raises(ValueError, match="allow_pickle"):
        write_arrays(tmp_path / "a.npz", {"x": np.array([object()])})
    assert (tmp_path / "a.json").read_text() == "1\n"
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_another_locale_changes_no_byte(tmp_path, locale):
    program = (
        "import sys; from pathlib import Path\n"
        "from bofl_jax.results.run_config import read_config, write_config\n"
        "from bofl_jax.results.writing import write_csv\n"
        "folder = Path(sys.argv[1])\n"
        "write_config(folder, 'name = \"Jos\\u00e9\"\\n')\n"
        "write_csv(folder / 'clients.csv', [{'client': 'Jos\\u00e9'}])\n"
        "assert read_config(folder).tables == {'name': 'Jos\\u00e9'}"
    )
    environment = os.environ | {
        "LC_ALL": locale,
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, env=environment)
    assert (tmp_path / "config.toml").read_bytes() == 'name = "José"\n'.encode()
    assert (tmp_path / "clients.csv").read_bytes() == "client\r\nJosé\r\n".encode()
    assert read_config(tmp_path).tables == {"name": "José"}


def test_only_a_new_or_empty_folder_is_unused(tmp_path):
    check_unused(tmp_path / "new", resumable=False)
    (tmp_path / "empty").mkdir()
    check_unused(tmp_path / "empty", resumable=False)
    with pytest.raises(BoflError, match=r"is not empty: name another --out$"):
        check_unused(tmp_path, resumable=False)
    with pytest.raises(BoflError, match=r"or go on with it by --resume$"):
        check_unused(tmp_path, resumable=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(BoflError, match="is a file: name another --out"):
        check_unused(tmp_path / "file", resumable=False)
