"""Ways to tamper with a finished run, and trials of whether the audit finds them.

What a forger has: every file of the run directory; the keys of whoever is named to be dishonest, all of which follow
from the seed in this simulation; and the will to make the rest fit, so that all blocks that follow a forged one are
sealed anew by all authorities together, and ``summary.json`` names the new head. What no audit of a directory can find
by itself is a whole other history that all its keepers agree on: those are in `AGREED`, apart from `KINDS`, and it
takes the head hash that somebody noted.
"""

import json
import random
import shutil
from pathlib import Path

from bofl_jax.ledger.chain.base import TransactionRequest
from bofl_jax.ledger.chain.genesis import Genesis
from bofl_jax.results.digest import results_digest
from tests.runs.tampering.blocks import (
    change_a_field,
    cut_off,
    cut_whole_blocks,
    drop_a_block,
    drop_a_block_and_reseal,
    drop_one,
    empty_a_block,
    flip_in,
    in_a_block,
    insert_bytes,
    malleated,
    more,
    on_chain,
    out_of_turn,
    outsider,
    reorder,
    repeat_a_block,
    repeat_a_block_and_reseal,
    repeat_one,
    replace_a_block_by_another_runs,
    replace_one,
    sealed_by,
    sign_as_an_outsider,
    swap_two_blocks,
    swap_two_blocks_and_reseal,
    with_a_header,
    with_a_seal,
)
from tests.runs.tampering.files import (
    add_a_batch,
    change_a_batch,
    change_a_leaf,
    change_a_leaf_and_its_root,
    change_a_prediction,
    change_a_row_of_clients,
    change_the_configuration,
    change_the_configuration_and_reseal,
    copy_another_runs_checkpoints,
    cut_rounds_off,
    flip_in_the_batch,
    flip_in_the_checkpoint,
    give_a_leaf_to_another_client,
    improve_the_last_test,
    in_the_leaves,
    in_the_rounds,
    in_the_summary,
    leave_an_older_checkpoint,
    lose_checkpoints,
    lose_the_batch,
    remove_a_leaf,
    remove_results,
    rename_a_checkpoint,
    save_a_later_model,
    save_an_older_model,
    save_another_model,
    shuffle_leaf_records,
    shuffle_rounds,
)
from tests.runs.tampering.forger import Forger, other_bytes, rewrite_leaves, write_rounds
from tests.runs.tampering.histories import (
    calling,
    deploy_another_contract,
    executed,
    forget_a_registry_change,
    found_anew,
    let_an_outsider_call,
    name_another_contract,
    name_other_authorities,
    never_publish,
    other_count,
    other_digest,
    sign_another_update,
    strangers,
    swap_parts,
    swap_the_genesis,
    swap_the_whole_ledger,
    tell_another_history,
)
from tests.runs.tampering.runs import CONTRACT, FINALISED, FIRST, LAST, ROUNDS, Kind
from tests.support.tiny import read_rounds

KINDS: dict[str, Kind] = {
    "a byte of blocks.rlp": flip_in("ledger/blocks.rlp"),
    "a byte of leaves.rlp": flip_in("ledger/leaves.rlp"),
    "a byte of genesis.json": flip_in("ledger/genesis.json"),
    "a byte of contract.json": flip_in("ledger/contract.json"),
    "a byte of config.toml": flip_in("config.toml"),
    "a byte of clients.csv": flip_in("clients.csv"),
    "a byte of a checkpoint": flip_in_the_checkpoint,
    "a byte of a synthetic batch": flip_in_the_batch,
    "bytes inserted in a file of the ledger": insert_bytes,
    "block log cut off anywhere": cut_off("ledger/blocks.rlp"),
    "block log cut off between blocks": on_chain(cut_whole_blocks),
    "leaf file cut off": cut_off("ledger/leaves.rlp"),
    "block dropped": on_chain(drop_a_block),
    "block dropped, the rest resealed": on_chain(drop_a_block_and_reseal),
    "blocks swapped": on_chain(swap_two_blocks),
    "blocks swapped and resealed": on_chain(swap_two_blocks_and_reseal),
    "block repeated": on_chain(repeat_a_block),
    "block repeated, the rest resealed": on_chain(repeat_a_block_and_reseal),
    "block of another run": on_chain(replace_a_block_by_another_runs),
    "block emptied and resealed": on_chain(empty_a_block),
    "transaction dropped": in_a_block(1, drop_one),
    "transactions reordered": in_a_block(2, reorder),
    "transaction repeated": in_a_block(1, repeat_one),
    "transaction replaced by another": in_a_block(1, replace_one),
    "transaction edited": in_a_block(1, change_a_field),
    "transaction signed by an outsider": in_a_block(1, sign_as_an_outsider),
    "seal changed": with_a_seal(other_bytes),
    "seal blank": with_a_seal(lambda _rng, old: bytes(len(old))),
    "seal malleated": with_a_seal(malleated),
    "sealed by an outsider": sealed_by(outsider),
    "sealed out of turn": sealed_by(out_of_turn),
    "state root, resealed by the authority": with_a_header(state_root=other_bytes),
    "gas, resealed by the authority": with_a_header(gas_used=more),
    "other roots, resealed by the authority": with_a_header(
        receipt_root=other_bytes, transaction_root=other_bytes, bloom=lambda rng, b: b ^ 1 << rng.randrange(2048)
    ),
    "time or limits, resealed by the authority": with_a_header(
        timestamp=more, gas_limit=more, mix_hash=other_bytes, parent_beacon_block_root=other_bytes
    ),
    "history with another update of a client": executed(sign_another_update),
    "history without a registry change": executed(forget_a_registry_change),
    "history with an outsider's call": executed(let_an_outsider_call),
    "history of another contract": executed(deploy_another_contract),
    "history with another commitment": calling("commitRound", other_digest(1), *map(other_count, (2, 3, 4))),
    "history with another cohort": calling("openRound", other_digest(3), other_count(4), among=FINALISED),
    "history of another configuration": calling("openRound", other_digest(2)),
    "history with another final model": calling("finaliseRound", other_digest(1), among=LAST),
    "history with another synthetic batch": calling("logSynthetic", other_digest(2), among=FIRST),
    "history with other results": calling("publishResults", other_digest(1)),
    "history without results": executed(never_publish),
    "history of all keys under the old head": tell_another_history,
    "genesis of other authorities": name_other_authorities,
    "genesis or blocks of another seed": swap_the_genesis,
    "ledger of another seed": swap_the_whole_ledger,
    "some files of another seed": swap_parts,
    "contract at another address": name_another_contract,
    "configuration changed": change_the_configuration,
    "configuration changed and resealed": change_the_configuration_and_reseal,
    "leaf changed": in_the_leaves(change_a_leaf),
    "leaf changed under its own root": in_the_leaves(change_a_leaf_and_its_root),
    "leaf removed": in_the_leaves(remove_a_leaf),
    "leaf or invitation of another client": in_the_leaves(give_a_leaf_to_another_client),
    "leaf records dropped, swapped or repeated": shuffle_leaf_records,
    "test figure": in_the_summary("test"),
    "fairness figure": in_the_summary("fairness"),
    "ledger figure": in_the_summary("ledger"),
    "timing figure": in_the_summary("timing"),
    "configuration hash in the summary": in_the_summary("config_sha256"),
    "loss or metric of a round": in_the_rounds(ledger=False),
    "cost of a round": in_the_rounds(ledger=True),
    "rounds dropped, swapped or repeated": shuffle_rounds,
    "last test improved everywhere": improve_the_last_test,
    "row of clients.csv": change_a_row_of_clients,
    "prediction": change_a_prediction,
    "results removed": remove_results,
    "last rounds cut off everywhere": cut_rounds_off,
    "model parameter": save_another_model,
    "model of an older round": save_an_older_model,
    "model of a round that never was": save_a_later_model,
    "older checkpoint only": leave_an_older_checkpoint,
    "checkpoints removed": lose_checkpoints,
    "checkpoint under another number": rename_a_checkpoint,
    "checkpoints of another run": copy_another_runs_checkpoints,
    "synthetic batch changed": change_a_batch,
    "synthetic batch missing": lose_the_batch,
    "synthetic batch added": add_a_batch,
}
SIGNED_ONLY = {"history with another update of a client"}
"""Kinds that need updates on the chain."""
BAD_REQUESTS = {"a byte of config.toml"}
"""Kinds after which there may be no run to audit: exit code 2."""


def _found_everything_anew(rng: random.Random, run: Path) -> None:
    """Another genesis, whose authorities seal the very same transactions."""
    f = Forger(run)
    f.authorities = strangers(rng)
    found_anew(f, Genesis(f.genesis.config_hash, tuple(sorted(a.address for a in f.authorities))))
    f.renew(0)
    f.write()


def _publish_better_results(rng: random.Random, run: Path) -> None:
    """The auditor puts its name to changed figures."""
    improve_the_last_test(rng, run)
    f = Forger(run)
    calls = f.calls()
    digest = results_digest(run, json.loads((run / "summary.json").read_text()))
    calls[-1][0] = calls[-1][0]._replace(data=CONTRACT.encode_call("publishResults", ROUNDS, digest))
    f.execute(calls)
    f.write()


def _forget_a_request(_rng: random.Random, f: Forger, calls: list[list[TransactionRequest]]) -> None:
    """The last one, which was rejected."""
    del calls[f.found("requestSynthetic")[-1][0]]


def _add_an_empty_block(rng: random.Random, _f: Forger, calls: list[list[TransactionRequest]]) -> None:
    calls.insert(rng.randint(2, len(calls)), [])


def _pretend_to_be_unfinished(_rng: random.Random, run: Path) -> None:
    """The last round and all results gone: a run that was stopped looks the same."""
    f = Forger(run)
    del f.blocks[f.found("finaliseRound")[ROUNDS - 2][0] + 1 :]
    f.write()
    rewrite_leaves(run, lambda records: records[:-1])
    write_rounds(run, read_rounds(run)[:-1])
    shutil.rmtree(run / "checkpoints" / str(ROUNDS))
    for name in ("summary.json", "clients.csv", "predictions.npz"):
        (run / name).unlink()


AGREED: dict[str, Kind] = {
    "everything sealed by authorities of another genesis": _found_everything_anew,
    "better results, published by the auditor": _publish_better_results,
    "a rejected request left out": executed(_forget_a_request),
    "an empty block": executed(_add_an_empty_block),
    "another cohort of an aborted round": calling("openRound", other_digest(3), among=FIRST),
    "a finished run that pretends to be an unfinished one": _pretend_to_be_unfinished,
}
"""Histories without a flaw, in which all who keep them agree. They have another head hash, and that is all."""
