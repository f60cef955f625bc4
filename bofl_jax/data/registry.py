"""The registry of data sources, and the functions that load, check and fetch any of them.

A source is one file: the class of its options, its loader, and one `Source` that is registered in `SOURCES`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from bofl_jax.core.errors import BoflError
from bofl_jax.core.options import Options
from bofl_jax.core.registry import Registry
from bofl_jax.core.types import Samples
from bofl_jax.data.demographics import Attribute, Demographics, Groups, group_by_attribute
from bofl_jax.data.location import data_root, existing_root


class SourceOptions(Options):
    """Options of every source.

    Attributes:
        seeded: whether the samples depend on the run's seed.
    """

    seeded: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The value of ``data.source``."""
        return str(getattr(self, "source", ""))

    def check_sections(self, config: Any) -> None:
        """Reject groups of people by age or sex if the source does not give these."""
        if config.evaluate.groups != "none" and SOURCES[self.name].demographics is None:
            raise ValueError(
                f"data.source = '{self.name}' gives no age and sex of its subjects: set evaluate.groups = 'none', or "
                f"data.source = {' or '.join(map(repr, sources_with_demographics()))}"
            )


class LoadSamples(Protocol):
    """Call signature of ``Source.load``."""

    def __call__(self, options: Any, seed: int, /) -> Samples:
        """Load or simulate the samples.

        Args:
            options: an instance of the source's options.
            seed: root seed of the run; only sources with ``seeded`` options use it.

        Raises:
            BoflError: if data are missing, damaged or do not fit together.
        """
        ...


class ReadDemographics(Protocol):
    """Call signature of ``Source.demographics``."""

    def __call__(self, options: Any, subjects: Sequence[str], /) -> list[Demographics]:
        """Read the age and sex of the persons behind subjects.

        Args:
            options: the options that the samples were loaded with.
            subjects: names of the subjects, as in ``Samples.subjects``.

        Raises:
            BoflError: if a file is missing or damaged.
        """
        ...


class Progress(Protocol):
    """Call signature of a progress report."""

    def __call__(self, file: str, done: int, total: int, /) -> None:
        """Report that ``file`` is complete, the ``done``-th of ``total`` files."""
        ...


class FetchFiles(Protocol):
    """Call signature of ``Source.fetch``."""

    def __call__(self, folder: Path, progress: Progress | None, /) -> None:
        """Download the files that the folder lacks.

        Args:
            folder: an existing folder.
            progress: called after every file, or None.

        Raises:
            BoflError: if a file from the server is damaged.
            OSError: if the network or the disk fails.
        """
        ...


class CheckReport(NamedTuple):
    """What a successful check found, for the command line to print as a table."""

    files: int  # how many files have the published checksum
    columns: tuple[str, ...]  # class names, then "total"
    rows: dict[str, tuple[int, ...]]  # set of records -> number of samples in each column


class CheckFiles(Protocol):
    """Call signature of ``Source.check``."""

    def __call__(self, folder: Path, /) -> CheckReport:
        """Verify that the files in a folder are the published ones.

        Raises:
            VerificationError: naming the first file or count that is wrong.
        """
        ...


class Source(NamedTuple):
    """A data source.

    Attributes:
        options: the class of its options; the literal ``source`` is its name.
        description: one line for ``bofl data list``.
        load: loads the samples.
        demographics: reads who the subjects are, or None if the source does not say.
        folder: its folder under ``BOFL_DATA`` or the cache, or None if it has no published files.
        fetch: downloads its files, or None.
        check: verifies its files, or None.
    """

    options: type[SourceOptions]
    description: str
    load: LoadSamples
    demographics: ReadDemographics | None = None
    folder: str | None = None
    fetch: FetchFiles | None = None
    check: CheckFiles | None = None


SOURCES: Registry[Source] = Registry("data", "source", Source, SourceOptions)
"""The sources by the value of ``data.source``."""


def load(options: SourceOptions, seed: int) -> Samples:
    """Load the samples that a ``[data]`` section asks for.

    Args:
        options: the section.
        seed: root seed of the run; only sources with ``seeded`` options use it.

    Raises:
        BoflError: if data are missing, damaged or do not fit together; the message says how to fix it.

    >>> from bofl_jax.data import SimulatorOptions
    >>> samples = load(SimulatorOptions(patients=2, beats=20), seed=0)
    >>> samples.x.shape, samples.features.shape, samples.fs
    ((40, 128, 1), (40, 7), 180.0)
    """
    return SOURCES[options.name].load(options, seed)


def fetch(name: str, root: Path | str | None = None, progress: Progress | None = None) -> Path:
    """Download the files of a source. Files that are complete are kept, so that a broken download can be repeated.

    Args:
        name: name of the source.
        root: folder to fill; by default as for ``data.root``.
        progress: called after every file.

    Returns:
        The folder.

    Raises:
        BoflError: for a source without files to fetch, a network that fails, a folder that cannot be written to, or a
            damaged file from the server.
    """
    source = SOURCES.get(name)
    if source is None or source.fetch is None:
        known = ", ".join(name for name, source in SOURCES.items() if source.fetch)
        raise BoflError(f"{name!r} is not a data set to fetch: use one of {known}")
    folder = data_root(root, source.folder or name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        source.fetch(folder, progress)
    except OSError as error:
        # HTTP libraries wrap the cause ("Max retries exceeded ... Caused by ..."), and the innermost message is useful.
        reason = " ".join(str(error).split()).split("Caused by ")[-1].rstrip(")")
        raise BoflError(
            f"{name} could not be fetched to {folder} ({reason}): check the network and try again"
        ) from error
    return folder


def check(name: str, root: Path | str | None = None) -> CheckReport:
    """Verify that the files of a source on disk are the published ones.

    Args:
        name: name of the source.
        root: its folder; by default as for ``data.root``.

    Raises:
        BoflError: for a source without published files, or a missing folder.
        VerificationError: naming the first file or count that is wrong.
    """
    source = SOURCES.get(name)
    if source is None or source.check is None:
        known = ", ".join(name for name, source in SOURCES.items() if source.check)
        raise BoflError(f"there are no published files to check for {name!r}: use one of {known}")
    return source.check(existing_root(root, source.folder or name, name))


def sources_with_demographics() -> list[str]:
    """Names of the sources that give age and sex of their subjects."""
    return [name for name, source in SOURCES.items() if source.demographics]


def demographic_groups(options: SourceOptions, subjects: Sequence[str], attribute: Attribute) -> Groups:
    """Group the subjects of a pool of samples by an attribute of the persons behind them.

    Args:
        options: the options that the pool was loaded with.
        subjects: names of the S subjects, as in ``Samples.subjects``.
        attribute: ``sex`` or ``age``.

    Raises:
        BoflError: if the source does not give them, or a file is missing or damaged.

    >>> from bofl_jax.data import SimulatorOptions
    >>> demographic_groups(SimulatorOptions(), ["p000"], "sex")
    Traceback (most recent call last):
    ...
    bofl_jax.core.errors.BoflError: data.source = 'simulator' gives no age and sex of its subjects: only mitbih does
    """
    read = SOURCES[options.name].demographics
    if read is None:
        known = " and ".join(sources_with_demographics())
        raise BoflError(f"data.source = '{options.name}' gives no age and sex of its subjects: only {known} does")
    return group_by_attribute(read(options, subjects), attribute)
