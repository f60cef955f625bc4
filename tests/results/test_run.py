"""Missing and damaged result files: one line names the file and says how to fix it, and nothing is written."""

import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.figures import draw
from bofl_jax.results import read_run

FILES = ("rounds.jsonl", "clients.csv", "predictions.npz", "summary.json")


def refusal(folder, name):
    """The line with which figures refuse a run with a damaged file."""
    with pytest.raises(BoflError) as caught:
        draw(folder)
    message = str(caught.value)
    assert name in message
    assert "\n" not in message
    assert "--resume" in message
    assert caught.value.exit_code == 2
    assert not (folder / "figures").exists()
    return message


@pytest.mark.parametrize("name", FILES)
def test_missing_file(copy, name):
    (copy / name).unlink()
    assert "missing" in refusal(copy, name)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"", b"{]\n", b"\xff\xfe\x00\x80 not text \x00", b"[1, 2, 3]"])
def test_overwritten_file(copy, name, content):
    (copy / name).write_bytes(content)
    assert "damaged" in refusal(copy, name)


@pytest.mark.parametrize("name", ["rounds.jsonl", "predictions.npz", "summary.json"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_truncated_file(copy, name, share):
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[: int(share * len(data))])
    assert "damaged" in refusal(copy, name)


def test_flipped_byte_of_the_predictions(copy):
    data = bytearray((copy / "predictions.npz").read_bytes())
    data[2_000] ^= 0xFF
    (copy / "predictions.npz").write_bytes(bytes(data))
    assert "CRC" in refusal(copy, "predictions.npz")


def test_round_written_twice(copy):
    lines = (copy / "rounds.jsonl").read_text()
    (copy / "rounds.jsonl").write_text(lines + lines.splitlines()[-1] + "\n")
    assert "not numbered upwards" in refusal(copy, "rounds.jsonl")


@pytest.mark.parametrize("column", ["client", "global_accuracy", "personalised_accuracy"])
def test_column_missing_from_the_clients(copy, column):
    text = (copy / "clients.csv").read_text()
    (copy / "clients.csv").write_text(text.replace(column, "other", 1))
    assert column in refusal(copy, "clients.csv")


def test_word_in_place_of_a_number(copy):
    text = (copy / "clients.csv").read_text().splitlines()
    text[2] = text[2].rsplit(",", 2)[0] + ",high,0.5"
    (copy / "clients.csv").write_text("\n".join(text) + "\n")
    assert "'high'" in refusal(copy, "clients.csv")


def test_two_recordings_of_one_person_are_one_person(copy):
    with np.load(copy / "predictions.npz") as file:
        arrays = dict(file)
    people = len(np.unique(read_run(copy).predictions.person))
    arrays["person_names"][1] = arrays["person_names"][0]
    np.savez(copy / "predictions.npz", **arrays)
    person = read_run(copy).predictions.person
    assert len(np.unique(person)) == people - 1
    assert len(np.unique(person[np.isin(arrays["subject"], [0, 1])])) == 1


@pytest.mark.parametrize(
    ("name", "change", "detail"),
    [
        ("subject", lambda array: array[:-1], "subject has shape"),
        ("subject", lambda array: array + 1, "out of bounds"),
        ("time", lambda array: array[:-1], "time has shape"),
        ("global_probability", lambda array: array[:, :-1], "global_probability has shape"),
        ("label", lambda array: array + 1, "outside of the 4 classes"),
        ("label", lambda array: array.astype(object), "allow_pickle"),
    ],
)
def test_predictions_that_do_not_belong_together(copy, name, change, detail):
    with np.load(copy / "predictions.npz") as file:
        arrays = dict(file)
    np.savez(copy / "predictions.npz", **arrays | {name: change(arrays[name])})
    assert detail in refusal(copy, "predictions.npz")


def test_folder_that_is_not_there(tmp_path):
    with pytest.raises(BoflError, match="there is no run directory"):
        draw(tmp_path / "nowhere")


def test_a_folder_in_place_of_a_file(copy):
    (copy / "summary.json").unlink()
    (copy / "summary.json").mkdir()
    with pytest.raises(BoflError, match=r"summary\.json cannot be read"):
        draw(copy)


def test_empty_fields_and_unevaluated_rounds_are_nan(copy):
    run = read_run(copy)
    assert np.isnan(run.rounds.accuracy[0])
    assert np.isfinite(run.rounds.accuracy[4])
    assert run.clients.name[:2] == ("100", "101")
    assert run.predictions.classes == ("N", "S", "V", "F")
    assert run.summary.ledger_mode == "merkle"
