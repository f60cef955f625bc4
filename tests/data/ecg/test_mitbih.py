"""The MIT-BIH loader against the published counts and a plain computation, and with every kind of damaged file."""

import numpy as np
import pytest
from pydantic import ValidationError

from bofl_jax.core.errors import BoflError
from bofl_jax.data import DS1, DS2, PACED, MitbihOptions, count_beats, load, persons_of_records
from bofl_jax.data.ecg.mitbih_records import ALL, PUBLISHED_COUNTS, RECORD_SETS
from bofl_jax.data.ecg.wfdb_records import WfdbFolder, load_wfdb


def options(root, **changes):
    return MitbihOptions(root=root, **{"records": ("100",), "cache": False} | changes)


@pytest.mark.parametrize("name", RECORD_SETS)
def test_counts_equal_the_published_table(mitdb, name):
    counts = count_beats(mitdb, RECORD_SETS[name])
    assert tuple(counts.values()) == PUBLISHED_COUNTS[name]


def test_record_sets_are_the_customary_ones():
    assert len(DS1) == len(DS2) == 22
    assert not set(DS1) & set(DS2)
    assert len(RECORD_SETS["nonpaced"]) == 44
    assert set(RECORD_SETS["all"]) - set(PACED) == set(RECORD_SETS["nonpaced"])
    assert persons_of_records(("100", "201", "202")) == ("100", "201", "201")
    assert len(set(persons_of_records(ALL))) == 47


def test_all_windows_of_all_records(mitdb):
    samples = load(options(mitdb, records="all", fallback_leads=("V5",)), seed=0)
    assert len(samples) == 109_451  # 43 of the 109 494 beats lie too close to an end
    assert samples.x.shape == (109_451, 128, 1)
    assert samples.x.dtype == samples.features.dtype == np.float32
    assert samples.subjects == RECORD_SETS["all"]
    assert samples.fs == 180.0
    assert [name for name in samples.subjects if name not in samples.persons] == ["202"]
    for subject in range(48):
        chosen = samples.subject == subject
        assert samples.x[chosen].std() == pytest.approx(1, abs=1e-4)
        assert (np.diff(samples.time[chosen]) > 0).all()


def plain_windows(signal, peaks):
    """The pipeline step by step, without the package."""
    from scipy.signal import butter, filtfilt

    baseline = signal
    for length in (71, 215):
        padded = np.pad(baseline, length // 2, mode="edge")
        baseline = np.median(np.lib.stride_tricks.sliding_window_view(padded, length), axis=1)
    smooth = filtfilt(*butter(3, 40 / 180), signal - baseline)
    windows = np.array([smooth[p - 128 : p + 128][::2] for p in peaks if p >= 128 and p + 128 <= len(smooth)])
    return windows / windows.std()


def test_windows_equal_a_plain_computation(mitdb, monkeypatch):
    """On the first 30 s of record 114, whose MLII is the second channel."""
    monkeypatch.setattr(WfdbFolder, "read_lead", lambda *args, read=WfdbFolder.read_lead: _start(read(*args)))
    monkeypatch.setattr(WfdbFolder, "read_beats", lambda *args, read=WfdbFolder.read_beats: _early(read(*args)))
    samples = load(options(mitdb, records=("114",)), seed=0)
    raw = load_wfdb().rdrecord(str(mitdb / "114"), sampto=10_800).p_signal[:, 1]
    peaks = WfdbFolder(mitdb).read_beats("114")[0]
    np.testing.assert_allclose(samples.x[:, :, 0], plain_windows(raw, peaks), atol=1e-5)  # float32 of values up to 10
    np.testing.assert_allclose(samples.time, peaks[(peaks >= 128) & (peaks + 128 <= 10_800)] / 360)


def _start(lead):
    return lead[0][:10_800], lead[1]


def _early(beats):
    return tuple(array[beats[0] < 10_800] for array in beats)


def test_a_record_without_the_lead_is_refused_by_name(mitdb):
    with pytest.raises(BoflError, match=r"record 102 has no lead MLII, only V5, V2: set data\.lead or data\.fallback"):
        load(options(mitdb, records=("102",)), seed=0)
    assert len(load(options(mitdb, records=("102",), fallback_leads=("V5",)), seed=0)) > 2000


def test_classes_choose_samples_but_not_neighbours(mitdb):
    """Beats of other classes still count in the RR intervals and in the record's scale."""
    every = load(options(mitdb), seed=0)
    some = load(options(mitdb, classes=("V", "S")), seed=0)
    for label, name in enumerate(some.classes):
        code = every.classes.index(name)
        np.testing.assert_array_equal(some.features[some.y == label], every.features[every.y == code])
        np.testing.assert_array_equal(some.x[some.y == label], every.x[every.y == code])
    assert len(some) == 1 + 33  # record 100 has one V and 33 S


def test_the_aami_map_can_be_replaced(mitdb):
    other = {"N": ("N", "L", "R"), "S": ("A", "a", "J", "S", "e", "j")}
    assert count_beats(mitdb, DS1, other)["S"] == 976
    assert count_beats(mitdb, DS2, other)["S"] == 2050


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"records": ("99",)}, "no record '99'"),
        ({"records": ("100", 100)}, "'100' is listed twice"),
        ({"records": "ds3"}, "ds1"),
        ({"records": ()}, "records is empty"),
        ({"classes": ("N", "X")}, "'X' has no entry in aami"),
        ({"classes": ("N", "N")}, "listed twice"),
        ({"aami": {"N": ("N", "~")}, "classes": ("N", "N2")}, "no entry in aami"),
        ({"aami": {"N": ("N",), "S": ("~",)}, "classes": ("N", "S")}, "not a beat symbol"),
        ({"aami": {"N": ("N",), "S": ("N",)}, "classes": ("N", "S")}, "listed twice"),
        ({"half_window": 4}, "greater than or equal to 16"),
        ({"lowpass_hz": 180}, "less than 180"),
        ({"leed": "V5"}, "Extra inputs"),
    ],
)
def test_bad_options_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        MitbihOptions(**changes)


def test_the_error_for_a_missing_folder_tells_how_to_get_the_data(tmp_path, monkeypatch):
    monkeypatch.setenv("BOFL_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(BoflError, match=r"no folder .*nowhere.mitdb: set data\.root or BOFL_DATA, or run `bofl data"):
        load(MitbihOptions(), seed=0)


@pytest.mark.parametrize("extension", ["hea", "dat", "atr"])
@pytest.mark.parametrize("cache", [True, False])
def test_a_missing_file_is_named(record_100, extension, cache):
    (record_100 / f"100.{extension}").unlink()
    with pytest.raises(BoflError, match=rf"no file .*100\.{extension}: .*bofl data fetch mitbih"):
        load(options(record_100, cache=cache), seed=0)


@pytest.mark.parametrize("keep", [0, 1000, 1_949_999])
def test_a_truncated_signal_is_named(record_100, keep):
    path = record_100 / "100.dat"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BoflError, match=rf"100\.dat is truncated \({keep} of 1950000 bytes\)"):
        load(options(record_100), seed=0)


@pytest.mark.parametrize("content", [b"", b"\0\0", b"\x01\x58\0\0"])
def test_an_annotation_file_without_beats_is_named(record_100, content):
    (record_100 / "100.atr").write_bytes(content)
    with pytest.raises(BoflError, match=r"100\.atr (is empty|is damaged|marks no beat)"):
        load(options(record_100), seed=0)


@pytest.mark.parametrize("content", ["", "nonsense\n", "100 2 360\n", "100 2 360 650000\n100.dat 999 200\n"])
def test_a_damaged_header_is_named(record_100, content):
    (record_100 / "100.hea").write_text(content)
    with pytest.raises(BoflError, match=r"100\.hea .*") as caught:
        load(options(record_100), seed=0)
    assert "\n" not in str(caught.value)


def test_another_sampling_rate_is_refused(record_100):
    header = record_100 / "100.hea"
    header.write_text(header.read_text().replace("100 2 360", "100 2 250"))
    with pytest.raises(BoflError, match=r"100\.hea says 250 Hz"):
        load(options(record_100), seed=0)
