"""The life cycle of a run directory: begun, interrupted, complete. `bofl_jax.results` knows what its files hold."""

import shutil
from pathlib import Path

from bofl_jax.config import Config
from bofl_jax.core.errors import BoflError
from bofl_jax.results.environment import write_environment
from bofl_jax.results.run_config import CONFIG_FILE, write_config
from bofl_jax.results.summary import is_complete
from bofl_jax.results.writing import check_unused


class RunDirectory:
    """The directory of one run.

    ``config.toml`` is written first: a directory that holds it holds a run. ``summary.json`` is written last: a
    directory that holds it holds a completed run.

    Args:
        path: the directory, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"

    @property
    def begun(self) -> bool:
        """Whether the directory holds a run, complete or not."""
        return (self.path / CONFIG_FILE).exists()

    @property
    def complete(self) -> bool:
        """Whether the directory holds a completed run."""
        return is_complete(self.path)

    def check_unused(self) -> None:
        """Raise BoflError if the directory holds anything."""
        check_unused(self.path, self.begun)

    def begin(self, config: Config) -> None:
        """Create the directory and write what is known before the first round.

        Raises:
            BoflError: if it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_config(self.path, config.to_toml())
            write_environment(self.path)
        except OSError as error:
            raise BoflError(f"{self.path} cannot be written ({error.strerror}): name another --out") from error

    def discard_ledger(self) -> None:
        """Remove the chain of a run that was cut off before its first checkpoint; its rounds are done again."""
        if (self.path / "ledger").exists():
            shutil.rmtree(self.path / "ledger")
