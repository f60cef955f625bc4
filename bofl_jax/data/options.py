"""The ``[data]`` section: one class a source, told apart by ``source``."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from bofl_jax.core.options import Options
from bofl_jax.data.ecg.records import AAMI, ALL, BEAT_SYMBOLS, CLASSES, RECORD_SETS

RecordSet = Literal["ds1", "ds2", "nonpaced", "all"]


class SourceOptions(Options):
    """What every source shares.

    Attributes:
        seeded: whether the samples depend on the run's seed.
    """

    seeded: ClassVar[bool] = False


class EcgOptions(SourceOptions):
    """What every beat source shares: the window around the R peak, the low-pass, the RR inputs, the classes."""

    half_window: int = Field(128, ge=16, le=360, description="samples at 360 Hz on each side of the R peak")
    decimate: int = Field(2, ge=1, le=8, description="keep every n-th sample of the window (2: 180 Hz)")
    lowpass_hz: float = Field(40.0, gt=1, lt=180, description="zero-phase Butterworth low-pass of order 3, in Hz")
    causal: bool = Field(False, description="RR inputs without look-ahead: 4 of them instead of 7")
    classes: tuple[str, ...] = Field(CLASSES, min_length=2, description="beats of other classes are dropped")

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        return _without_repeats(classes, "class")


class SimulatorOptions(EcgOptions):
    """Embedded simulator: made-up patients, no files."""

    seeded = True
    source: Literal["simulator"] = "simulator"
    patients: int = Field(20, ge=1, le=10_000, description="simulated patients")
    beats: int = Field(300, ge=20, le=3000, description="beats a patient, before classes are dropped")
    diversity: float = Field(1.0, ge=0, le=2, description="spread of wave shapes between patients (0: all alike)")
    devices: float = Field(1.0, ge=0, le=2, description="strength of device differences (0: one clean device)")
    ectopy: float = Field(1.0, ge=0, le=3, description="factor on the rates of S, V and F beats")
    paced: float = Field(0.08, ge=0, le=1, description="probability that a patient has a pacemaker (class Q)")

    @field_validator("classes")
    @classmethod
    def _simulated(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in classes if name not in CLASSES]
        if unknown:
            raise ValueError(f"the simulator has no class {unknown[0]!r}: choose from {', '.join(CLASSES)}")
        return classes


class MitbihOptions(EcgOptions):
    """MIT-BIH Arrhythmia Database, read with wfdb."""

    source: Literal["mitbih"] = "mitbih"
    root: Path | None = Field(None, description="folder of the records; default: mitdb under BOFL_DATA or the cache")
    records: RecordSet | tuple[str, ...] = Field("nonpaced", description="a named set or a list of record names")
    lead: str = Field("MLII", min_length=1, description="lead, chosen by its name in the header")
    fallback_leads: tuple[str, ...] = Field((), description="leads to try, in order, where a record has no `lead`")
    aami: dict[str, tuple[str, ...]] = Field(AAMI, description="class -> annotation symbols of its beats")
    cache: bool = Field(True, description="keep the windows on disk, keyed by file content and options")

    @field_validator("records", mode="before")
    @classmethod
    def _names(cls, records: Any) -> Any:
        if isinstance(records, list | tuple):
            return tuple(str(name) if isinstance(name, int) else name for name in records)
        return records

    @field_validator("records")
    @classmethod
    def _known(cls, records: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(records, str):
            return records
        if not records:
            raise ValueError("records is empty: name at least one record, or one of " + ", ".join(RECORD_SETS))
        unknown = [name for name in records if name not in ALL]
        if unknown:
            raise ValueError(f"MIT-BIH has no record {unknown[0]!r}: it has {ALL[0]}-124 and 200-{ALL[-1]}, with gaps")
        return _without_repeats(records, "record")

    @model_validator(mode="after")
    def _map_covers_classes(self) -> Self:
        missing = [name for name in self.classes if name not in self.aami]
        if missing:
            raise ValueError(f"class {missing[0]!r} has no entry in aami: add its annotation symbols there")
        symbols = [symbol for group in self.aami.values() for symbol in group]
        unknown = [symbol for symbol in symbols if symbol not in BEAT_SYMBOLS]
        if unknown:
            raise ValueError(f"aami holds {unknown[0]!r}, not a beat symbol: use {' '.join(sorted(BEAT_SYMBOLS))}")
        _without_repeats(tuple(symbols), "symbol")
        return self

    def record_names(self) -> tuple[str, ...]:
        """The chosen records, in the order in which they become subjects."""
        return RECORD_SETS[self.records] if isinstance(self.records, str) else self.records


class NpzOptions(SourceOptions):
    """Anyone's own arrays in one ``.npz`` file; see ``bofl_jax.data.npz`` for the keys."""

    source: Literal["npz"] = "npz"
    root: Path = Field(description="the .npz file")


DataOptions = Annotated[SimulatorOptions | MitbihOptions | NpzOptions, Field(discriminator="source")]
"""The ``[data]`` section of a configuration."""


def _without_repeats(names: tuple[str, ...], what: str) -> tuple[str, ...]:
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ValueError(f"{what} {repeated[0]!r} is listed twice: list it once")
    return names
