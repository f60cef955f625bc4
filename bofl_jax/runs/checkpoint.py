"""Checkpoints: the state after a completed round, from which a run continues, and the model that it ended in."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from bofl_jax.core.digest import digest
from bofl_jax.core.errors import BoflError
from bofl_jax.core.serialization import canonical_bytes
from bofl_jax.engine.state import TrainState


class Checkpoint(NamedTuple):
    """A checkpoint as it is on disk."""

    round: int
    leaves: dict[str, list[np.ndarray]]  # field of the state -> its leaves in path order
    layout: dict[str, str]  # field of the state -> layout text of its leaves

    def digest(self, field: str = "params") -> bytes:
        """The digest (32 bytes) of one field of the state, computed again from its leaves."""
        return digest(self.layout[field], b"".join(_little_endian(leaf) for leaf in self.leaves[field]))


class CheckpointStore:
    """The checkpoints of one run (Orbax). The newest two are kept.

    Args:
        directory: folder of the checkpoints, created if it is missing.
    """

    def __init__(self, directory: Path) -> None:
        import orbax.checkpoint as ocp  # this import takes two seconds, which only runs pay

        self._ocp = ocp
        self._directory = directory.absolute()
        here = ocp.options.MultiprocessingOptions(active_processes={jax.process_index()})  # workers do not call Orbax
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2,
            enable_async_checkpointing=False,
            create=False,
            multiprocessing_options=here if jax.process_count() > 1 else ocp.options.MultiprocessingOptions(),
        )
        self._directory.mkdir(parents=True, exist_ok=True)
        self._manager = ocp.CheckpointManager(self._directory, item_names=("state", "meta"), options=options)

    def save(self, round_number: int, state: TrainState) -> None:
        """Write the state after a completed round. A crash during the write leaves the earlier checkpoints intact.

        Args:
            round_number: the completed round, from 1.
            state: the state after it.
        """
        fields = state._asdict()
        leaves = {
            name: {f"{i:04d}": leaf for i, leaf in enumerate(_sorted_leaves(tree))} for name, tree in fields.items()
        }
        layout = {name: canonical_bytes(tree)[0] for name, tree in fields.items()}
        digests = {name: digest(*canonical_bytes(tree)).hex() for name, tree in fields.items()}
        args = self._ocp.args
        meta = {"round": round_number, "layout": layout, "digest": digests}
        state_args = args.StandardSave({name: field for name, field in leaves.items() if field})
        self._manager.save(round_number, args=args.Composite(state=state_args, meta=args.JsonSave(meta)), force=True)

    def has(self, round_number: int) -> bool:
        """Whether there is a checkpoint of a round."""
        return round_number in self._manager.all_steps()

    def latest(self) -> Checkpoint | None:
        """Read the newest checkpoint; None if there is none.

        Raises:
            BoflError: if it is damaged.
        """
        number = self._manager.latest_step()
        if number is None:
            return None
        try:
            checkpoint, digests = self._read(number)
            damaged = [name for name in checkpoint.layout if checkpoint.digest(name).hex() != digests[name]]
        except Exception as error:
            reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
            raise self._damaged(number, reason) from error
        if damaged or checkpoint.round != number:
            raise self._damaged(number, f"{damaged[0] if damaged else 'round number'} does not match")
        return checkpoint

    def _read(self, number: int) -> tuple[Checkpoint, dict[str, str]]:
        """A checkpoint, and the digests that were written with it."""
        args = self._ocp.args
        content = self._manager.restore(
            number, args=args.Composite(state=args.StandardRestore(), meta=args.JsonRestore())
        )
        meta, fields = content["meta"], content["state"]
        leaves: dict[str, list[np.ndarray]] = {name: [] for name in meta["layout"]}
        leaves |= {name: [np.asarray(field[key]) for key in sorted(field)] for name, field in fields.items()}
        return Checkpoint(int(meta["round"]), leaves, meta["layout"]), meta["digest"]

    def _damaged(self, number: int, reason: str) -> BoflError:
        return BoflError(
            f"checkpoint {self._directory / str(number)} is damaged ({reason}): "
            "restore the folder from a copy, or start again with another --out"
        )

    def close(self) -> None:
        """Release the threads of Orbax."""
        self._manager.close()


def latest_round(directory: Path) -> int:
    """The round of the newest checkpoint in a folder; 0 if there is none."""
    names = (path.name for path in directory.iterdir()) if directory.is_dir() else ()
    return max((int(name) for name in names if name.isdigit()), default=0)


def restore(checkpoint: Checkpoint, template: TrainState) -> TrainState:
    """Give the leaves of a checkpoint the structure of a state.

    Args:
        checkpoint: from `CheckpointStore.latest`.
        template: a state of the same run, for example the initial one.

    Raises:
        BoflError: if another version wrote the checkpoint, or if paths, shapes or types differ.
    """
    if checkpoint.layout.keys() != template._asdict().keys():
        raise BoflError("the checkpoint was made by another version of bofl_jax: start again with another --out")
    fields = {}
    for name, tree in template._asdict().items():
        if canonical_bytes(tree)[0] != checkpoint.layout[name]:
            raise BoflError(f"the checkpoint holds another {name} than this configuration makes: use the same --out")
        paths, structure = jax.tree_util.tree_flatten_with_path(tree)
        order = np.argsort(np.argsort([jax.tree_util.keystr(path) for path, _ in paths]))
        fields[name] = jax.tree_util.tree_unflatten(structure, [checkpoint.leaves[name][i] for i in order])
    return TrainState(**fields)


def _sorted_leaves(tree: Any) -> list[np.ndarray]:
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [np.asarray(leaf) for _, leaf in sorted(paths, key=lambda pair: jax.tree_util.keystr(pair[0]))]


def _little_endian(leaf: np.ndarray) -> bytes:
    return np.ascontiguousarray(leaf, leaf.dtype.newbyteorder("<")).tobytes()
