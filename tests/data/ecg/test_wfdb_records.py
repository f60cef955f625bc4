"""Reading one lead of a WFDB record: the preferred lead is taken, wherever it stands in the header."""

import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.data.ecg.wfdb_records import WfdbFolder, load_wfdb


@pytest.mark.parametrize(
    ("leads", "channel"), [(("MLII", "V5"), 1), (("V5", "MLII"), 0), (("V1", "MLII"), 1), (("V1", "V5"), 0)]
)
def test_the_preferred_lead_is_read_wherever_it_stands(mitdb, leads, channel):
    """The header of record 114 lists V5 before MLII."""
    signal, fs = WfdbFolder(mitdb).read_lead("114", leads)
    record = load_wfdb().rdrecord(str(mitdb / "114"))
    assert record.sig_name == ["V5", "MLII"]
    assert fs == 360.0
    np.testing.assert_array_equal(signal, record.p_signal[:, channel])


def test_every_error_ends_with_the_given_fix(tmp_path):
    with pytest.raises(BoflError, match=r"no file .*100\.hea: ask the ward$"):
        WfdbFolder(tmp_path, fix="ask the ward").files("100")
    with pytest.raises(BoflError, match=r"no file .*100\.hea: copy it again from the data set$"):
        WfdbFolder(tmp_path).read_comments("100")
