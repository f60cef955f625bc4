"""The kinds of tampering with a finished run that the audit must find.

A forger has every file of the run directory, and all keys, which follow from the seed in this simulation. The forger
makes the rest fit: all authorities together seal the blocks after a forged one again, and ``summary.json`` names the
new head. An audit of a directory alone cannot find a whole other history on which all keepers of the chain agree. Such
kinds are in `AGREED`, not in `KINDS`; only a head hash that was noted before betrays them.
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
    changed_number,
    cut_off,
    cut_whole_blocks,
    drop_a_block,
    drop_a_block_and_reseal,
    drop_one,
    empty_a_block,
    flip_in,
    in_a_block,
    insert_bytes,
    malleate,
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
    remove_a_leaf,
    remove_checkpoints,
    remove_results,
    remove_the_batch,
    rename_a_checkpoint,
    save_a_later_model,
    save_an_older_model,
    save_another_model,
    shuffle_leaf_records,
    shuffle_rounds,
)
from tests.runs.tampering.forger import Forger, other_bytes, rewrite_leaves, write_rounds
from tests.runs.tampering.histories import (
    add_a_call_by_an_outsider,
    change_the_contract_address,
    deploy_another_contract,
    drop_a_registry_change,
    drop_the_publication,
    other_authorities,
    other_count,
    other_digest,
    replace_authorities,
    rewrite_history,
    sign_another_update,
    swap_parts,
    swap_the_genesis,
    swap_the_whole_ledger,
    with_calls,
    with_changed_call,
    write_new_genesis,
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
    "seal malleated": with_a_seal(malleate),
    "sealed by an outsider": sealed_by(outsider),
    "sealed out of turn": sealed_by(out_of_turn),
    "state root, resealed by the authority": with_a_header(state_root=other_bytes),
    "gas, resealed by the authority": with_a_header(gas_used=changed_number),
    "other roots, resealed by the authority": with_a_header(
        receipt_root=other_bytes, transaction_root=other_bytes, bloom=lambda rng, b: b ^ 1 << rng.randrange(2048)
    ),
    "time or limits, resealed by the authority": with_a_header(
        timestamp=changed_number, gas_limit=changed_number, mix_hash=other_bytes, parent_beacon_block_root=other_bytes
    ),
    "history with another update of a client": with_calls(sign_another_update),
    "history without a registry change": with_calls(drop_a_registry_change),
    "history with an outsider's call": with_calls(add_a_call_by_an_outsider),
    "history of another contract": with_calls(deploy_another_contract),
    "history with another commitment": with_changed_call("commitRound", other_digest(1), *map(other_count, (2, 3, 4))),
    "history with another cohort": with_changed_call("openRound", other_digest(3), other_count(4), among=FINALISED),
    "history of another configuration": with_changed_call("openRound", other_digest(2)),
    "history with another final model": with_changed_call("finaliseRound", other_digest(1), among=LAST),
    "history with another synthetic batch": with_changed_call("logSynthetic", other_digest(2), among=FIRST),
    "history with other results": with_changed_call("publishResults", other_digest(1)),
    "history without results": with_calls(drop_the_publication),
    "history of all keys under the old head": rewrite_history,
    "genesis of other authorities": replace_authorities,
    "genesis or blocks of another seed": swap_the_genesis,
    "ledger of another seed": swap_the_whole_ledger,
    "some files of another seed": swap_parts,
    "contract at another address": change_the_contract_address,
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
    "checkpoints removed": remove_checkpoints,
    "checkpoint under another number": rename_a_checkpoint,
    "checkpoints of another run": copy_another_runs_checkpoints,
    "synthetic batch changed": change_a_batch,
    "synthetic batch missing": remove_the_batch,
    "synthetic batch added": add_a_batch,
}
SIGNED_ONLY = {"history with another update of a client"}
"""Kinds that need updates on the chain."""
BAD_REQUESTS = {"a byte of config.toml"}
"""Kinds after which the directory may hold no run that could be audited: exit code 2."""


def _reseal_under_another_genesis(rng: random.Random, run: Path) -> None:
    """Write another genesis, whose authorities seal the same transactions."""
    f = Forger(run)
    f.authorities = other_authorities(rng)
    write_new_genesis(f, Genesis(f.genesis.config_hash, tuple(sorted(a.address for a in f.authorities))))
    f.reseal_from(0)
    f.write()


def _publish_better_results(rng: random.Random, run: Path) -> None:
    """Improve the metrics and publish their digest with the key of the auditor."""
    improve_the_last_test(rng, run)
    f = Forger(run)
    calls = f.calls()
    digest = results_digest(run, json.loads((run / "summary.json").read_text()))
    calls[-1][0] = calls[-1][0]._replace(data=CONTRACT.encode_call("publishResults", ROUNDS, digest))
    f.execute(calls)
    f.write()


def _drop_a_request(_rng: random.Random, f: Forger, calls: list[list[TransactionRequest]]) -> None:
    """Remove the last request, which was rejected."""
    del calls[f.find_calls("requestSynthetic")[-1][0]]


def _add_an_empty_block(rng: random.Random, _f: Forger, calls: list[list[TransactionRequest]]) -> None:
    calls.insert(rng.randint(2, len(calls)), [])


def _pretend_to_be_unfinished(_rng: random.Random, run: Path) -> None:
    """Remove the last round and all results, so that the run looks like one that was interrupted."""
    f = Forger(run)
    del f.blocks[f.find_calls("finaliseRound")[ROUNDS - 2][0] + 1 :]
    f.write()
    rewrite_leaves(run, lambda records: records[:-1])
    write_rounds(run, read_rounds(run)[:-1])
    shutil.rmtree(run / "checkpoints" / str(ROUNDS))
    for name in ("summary.json", "clients.csv", "predictions.npz"):
        (run / name).unlink()


AGREED: dict[str, Kind] = {
    "everything sealed by authorities of another genesis": _reseal_under_another_genesis,
    "better results, published by the auditor": _publish_better_results,
    "a rejected request left out": with_calls(_drop_a_request),
    "an empty block": with_calls(_add_an_empty_block),
    "another cohort of an aborted round": with_changed_call("openRound", other_digest(3), among=FIRST),
    "a finished run that pretends to be an unfinished one": _pretend_to_be_unfinished,
}
"""Valid histories on which all keepers of the chain agree. Only their head hash differs."""
