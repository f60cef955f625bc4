"""The persons in ``predictions.npz``: those that the data name, and otherwise every subject."""

import numpy as np
import pytest

from tests.conftest import make_samples
from tests.support.tiny import run_tiny, write_arrays

SUBJECTS = np.array(["100", "201", "103", "202", "105", "106"])
PERSONS = np.array(["ann", "bob", "eve", "bob", "dan", "fay"])


@pytest.mark.parametrize("given", [False, True], ids=["subjects only", "persons given"])
def test_the_persons_of_own_data_are_in_the_predictions(tmp_path, given):
    """Subjects 201 and 202 are two persons unless the file gives them one."""
    subject = make_samples().subject
    person = {"person": PERSONS[subject]} if given else {}
    arrays = write_arrays(tmp_path / "own.npz", subject=SUBJECTS[subject], **person)
    run = run_tiny(tmp_path / "run", arrays, {"federation.rounds": 1, "ledger.mode": "off"})
    with np.load(run.directory / "predictions.npz") as found:
        names = dict(zip(found["subject_names"].tolist(), found["person_names"].tolist(), strict=True))
    expected = PERSONS if given else SUBJECTS
    assert names == dict(zip(SUBJECTS.tolist(), expected.tolist(), strict=True))
