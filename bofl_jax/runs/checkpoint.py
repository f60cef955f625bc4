"""Checkpoints: all that is needed to go on from a completed round, and to prove which model it ended in."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from bofl_jax.core.digest import digest
from bofl_jax.core.errors import BoflError
from bofl_jax.core.serialization import canonical_bytes
from bofl_jax.engine.round import TrainState


class Checkpoint(NamedTuple):
    """A checkpoint as it lies on disk: the leaves of each part of the state in path order, and their layout."""

    round: int
    leaves: dict[str, list[np.ndarray]]
    layout: dict[str, str]

    def digest(self, part: str = "params") -> bytes:
        """32 bytes: the digest of one part of the state, worked out again from what was read."""
        return digest(self.layout[part], b"".join(_bytes(leaf) for leaf in self.leaves[part]))


class CheckpointStore:
    """The checkpoints of one run directory (Orbax); the newest two are kept."""

    def __init__(self, directory: Path) -> None:
        import orbax.checkpoint as ocp  # two seconds: only runs pay for it

        self._ocp = ocp
        self._directory = directory.absolute()
        alone = ocp.options.MultiprocessingOptions(active_processes={jax.process_index()})  # others do not come here
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2,
            enable_async_checkpointing=False,
            create=False,
            multiprocessing_options=alone if jax.process_count() > 1 else ocp.options.MultiprocessingOptions(),
        )
        self._directory.mkdir(parents=True, exist_ok=True)
        self._manager = ocp.CheckpointManager(self._directory, item_names=("state", "meta"), options=options)

    def save(self, round_number: int, state: TrainState) -> None:
        """Write the state after a completed round; a crash in between leaves the one before."""
        parts = state._asdict()
        leaves = {name: {f"{i:04d}": leaf for i, leaf in enumerate(_ordered(tree))} for name, tree in parts.items()}
        layout = {name: canonical_bytes(tree)[0] for name, tree in parts.items()}
        digests = {name: digest(*canonical_bytes(tree)).hex() for name, tree in parts.items()}
        args = self._ocp.args
        meta = {"round": round_number, "layout": layout, "digest": digests}
        state_args = args.StandardSave({name: part for name, part in leaves.items() if part})
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
        mend = "restore the folder from a copy, or start again with another --out"
        args = self._ocp.args
        try:
            read = self._manager.restore(
                number, args=args.Composite(state=args.StandardRestore(), meta=args.JsonRestore())
            )
            meta, parts = read["meta"], read["state"]
            leaves = {name: [np.asarray(part[key]) for key in sorted(part)] for name, part in parts.items()}
            leaves |= {name: [] for name in meta["layout"] if name not in leaves}
            saved = Checkpoint(int(meta["round"]), leaves, meta["layout"])
            damaged = [name for name in meta["layout"] if saved.digest(name).hex() != meta["digest"][name]]
        except Exception as error:
            reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
            raise BoflError(f"checkpoint {self._directory / str(number)} is damaged ({reason}): {mend}") from error
        if damaged or saved.round != number:
            what = damaged[0] if damaged else "round number"
            raise BoflError(f"checkpoint {self._directory / str(number)} is damaged ({what} does not match): {mend}")
        return saved

    def close(self) -> None:
        """Release Orbax's threads."""
        self._manager.close()


def latest_round(directory: Path) -> int:
    """The round of the newest checkpoint in a folder; 0 if there is none."""
    names = (path.name for path in directory.iterdir()) if directory.is_dir() else ()
    return max((int(name) for name in names if name.isdigit()), default=0)


def restore(saved: Checkpoint, template: TrainState) -> TrainState:
    """Give a checkpoint the structure of ``template``.

    Raises:
        BoflError: if paths, shapes or types differ.
    """
    parts = {}
    for name, tree in template._asdict().items():
        if canonical_bytes(tree)[0] != saved.layout[name]:
            raise BoflError(f"the checkpoint holds another {name} than this configuration makes: use the same --out")
        paths, structure = jax.tree_util.tree_flatten_with_path(tree)
        order = np.argsort(np.argsort([jax.tree_util.keystr(path) for path, _ in paths]))
        parts[name] = jax.tree_util.tree_unflatten(structure, [saved.leaves[name][i] for i in order])
    return TrainState(**parts)


def _ordered(tree: Any) -> list[np.ndarray]:
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [np.asarray(leaf) for _, leaf in sorted(paths, key=lambda pair: jax.tree_util.keystr(pair[0]))]


def _bytes(leaf: np.ndarray) -> bytes:
    return np.ascontiguousarray(leaf, leaf.dtype.newbyteorder("<")).tobytes()
