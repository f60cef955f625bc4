"""The fast classes against py-evm itself: gas, output, error, logs and storage of one code on both."""

import os
import random
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("eth")

from eth.constants import BLANK_ROOT_HASH, ZERO_ADDRESS
from eth.db.atomic import AtomicDB
from eth.db.trie import _make_trie_root_and_nodes
from eth.exceptions import OutOfGas
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.state import PragueState
from eth.vm.message import Message
from eth.vm.stack import Stack
from trie import HexaryTrie

from bofl_jax.ledger.chain.py_evm.fast_trie import FastTrie, trie_root_and_nodes
from bofl_jax.ledger.chain.py_evm.fast_vm import FastComputation, FastStack, FastState, _jump_targets

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT:DeprecationWarning")

HERE, OTHER, CALLER = b"\x11" * 20, b"\x22" * 20, b"\x33" * 20
OTHER_CODE = bytes.fromhex("602a60005260016001556000355f5560206000f3")  # stores, writes memory, returns 42
STOP, JUMP, JUMPI, JUMPDEST, PUSH1, PUSH20, RETURN, REVERT = 0x00, 0x56, 0x57, 0x5B, 0x60, 0x73, 0xF3, 0xFD
ARITHMETIC = [*range(0x01, 0x0C), *range(0x10, 0x1E)]
CONTEXT = [0x20, *range(0x30, 0x4B)]
STATE = [0x51, 0x52, 0x53, 0x54, 0x55, 0x58, 0x59, 0x5A, 0x5C, 0x5D, 0x5E]
STACK = [0x50, 0x5F, *range(0x80, 0xA0)]
LOGS = [*range(0xA0, 0xA5)]
CALLS = [0xF0, 0xF1, 0xF2, 0xF4, 0xF5, 0xFA]


def state_of(state_class: type[PragueState]) -> PragueState:
    context = ExecutionContext(
        coinbase=CALLER,
        timestamp=1,
        block_number=1,
        difficulty=0,
        mix_hash=bytes(32),
        gas_limit=10**9,
        prev_hashes=(),
        chain_id=1337,
        base_fee_per_gas=0,
        excess_blob_gas=0,
    )
    state = state_class(AtomicDB(), context, BLANK_ROOT_HASH)
    state.set_code(OTHER, OTHER_CODE)
    state.set_balance(HERE, 1000)
    state.set_storage(HERE, 0, 7)
    state.set_storage(HERE, 1, 2**255)
    state.lock_changes()
    return state


def outcome(state_class: type[PragueState], code: bytes, gas: int, *, static: bool = False) -> dict[str, Any]:
    """Everything observable of one execution and of the state after it."""
    state = state_of(state_class)
    state.set_code(HERE, code)
    data = bytes(range(1, 41))
    message = Message(gas=gas, to=HERE, sender=CALLER, value=0, data=data, code=code, is_static=static)
    context = state.get_transaction_context_class()(gas_price=0, origin=CALLER)
    computation = state.computation_class.apply_message(state, message, context)
    return {
        "error": None if computation.is_success else (type(computation.error), str(computation.error)),
        "gas": computation.get_gas_used(),
        "left": computation.get_gas_remaining(),
        "refund": computation.get_gas_refund(),
        "output": computation.output,
        "returned": computation.return_data,
        "logs": computation.get_log_entries(),
        "memory": bytes(computation._memory._bytes),
        "stack": [v if isinstance(v, int) else int.from_bytes(v, "big") for v in computation._stack.values],
        "balance": state.get_balance(HERE),
        "root": state.make_state_root(),
    }


def same(code: bytes, gas: int = 100_000, *, static: bool = False) -> dict[str, Any]:
    """Check that both give the same outcome, and return it."""
    expected = outcome(PragueState, code, gas, static=static)
    assert outcome(FastState, code, gas, static=static) == expected, code.hex()
    return expected


def push(value: int) -> bytes:
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes([PUSH1 + size - 1]) + value.to_bytes(size, "big")


def random_code(rng: random.Random) -> bytes:
    """Mostly valid code: values are pushed before use, most jumps reach their target, some bytes are random."""
    code = b""
    for _ in range(rng.randrange(1, 40)):
        for _ in range(rng.choice((0, 1, 2, 2, 3))):
            small = rng.choice((0, 1, 2, 31, 32, 33, 64, rng.randrange(300)))
            code += push(rng.choice((small, small, small, small, rng.getrandbits(256), rng.getrandbits(64))))
        kind = rng.randrange(16)
        if kind < 9:
            code += bytes([rng.choice(rng.choice((ARITHMETIC, CONTEXT, STATE, STACK, STACK, LOGS)))])
        elif kind < 12:
            target = len(code) + rng.choice((3, 4, 4, 4, 5))
            code += bytes([PUSH1 + 1]) + target.to_bytes(2, "big") + bytes([rng.choice((JUMP, JUMPI)), JUMPDEST])
        elif kind < 14:
            to = rng.choice((OTHER, OTHER, HERE, *(n.to_bytes(20, "big") for n in (1, 2, 4, 9))))
            code += b"".join(push(n) for n in (32, 0, rng.randrange(64), 0, rng.choice((0, 0, 1))))
            code += bytes([PUSH20]) + to + push(rng.choice((100, 30_000))) + bytes([rng.choice(CALLS)])
        elif kind == 14:
            code += bytes([rng.choice((RETURN, REVERT, STOP, 0xFE, 0xFF, JUMPDEST, JUMPDEST, JUMPDEST))])
        else:
            code += rng.randbytes(rng.randrange(4))
    return code


@pytest.mark.parametrize("seed", range(20))
def test_random_codes_have_the_same_outcome(seed):
    rng = random.Random(seed)
    for _ in range(25):
        same(random_code(rng), rng.choice((0, 50, 3_000, 100_000)), static=rng.random() < 0.1)


@pytest.mark.parametrize("seed", range(4))
def test_noise_has_the_same_outcome(seed):
    rng = random.Random(seed)
    for _ in range(40):
        same(rng.randbytes(rng.randrange(60)))


def test_the_random_codes_contain_every_instruction_and_every_kind_of_error():
    rng, errors, seen = random.Random(0), set(), set()
    for _ in range(400):
        code = random_code(rng)
        seen |= set(code)
        error = outcome(FastState, code, rng.choice((0, 50, 3_000, 100_000)))["error"]
        errors.add(error[0].__name__ if error else "")
    assert errors >= {"", "OutOfGas", "InsufficientStack", "InvalidInstruction", "InvalidJumpDestination", "Revert"}
    assert seen >= set(PragueComputation.opcodes)


def test_gas_may_end_at_any_step():
    code = push(1) + push(2) + bytes.fromhex("0180900160205260405160005560015460206000a0") + push(64) + push(0)
    code += bytes([0x20]) + push(len(code) + 4) + bytes([JUMP, JUMPDEST]) + bytes.fromhex("60206000f3")
    full = same(code)
    assert full["error"] is None
    for gas in (*range(120), *range(120, full["gas"], 101), *range(full["gas"] - 120, full["gas"])):
        assert same(code, gas)["error"][0] is OutOfGas
    assert same(code, full["gas"])["error"] is None


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 6, 7, 16, 17, 1023, 1024])
def test_every_instruction_at_every_depth_of_the_stack(depth):
    for opcode in range(256):
        same(bytes([0x5F]) * depth + bytes([opcode]) + b"\x01" * 4)
        if depth <= 17:
            same(push(1) * depth + bytes([opcode]))


@pytest.mark.parametrize(
    "code",
    [
        "6003565b00",  # to a JUMPDEST
        "6001565b00",  # to a byte that is data
        "605b600156",  # to 0x5b in data
        "615b5b600156",  # to the second byte of data
        "60ff565b",  # behind the end
        "7f" + "ff" * 32 + "56",  # far behind the end
        "60005b600160075700",  # loops
        "6000605b57",  # not taken, so that the target does not matter
        "5b600056",  # for ever, until the gas ends
        "7fff",  # a PUSH cut off by the end of the code
        "61",
        "5b5b5b",
        "",
    ],
)
def test_jumps_and_ends(code):
    same(bytes.fromhex(code), 10_000)


def test_jump_targets_are_those_of_py_evm():
    from eth.vm.code_stream import CodeStream

    rng = random.Random(1)
    for _ in range(50):
        code = bytes(rng.choice((JUMPDEST, JUMPDEST, PUSH1, 0x7F, 0x61, 0)) for _ in range(80))
        stream = CodeStream(code)
        assert _jump_targets(code) == {i for i, op in enumerate(code) if op == JUMPDEST and stream.is_valid_opcode(i)}


def test_the_stack_raises_the_same_errors_as_py_evms():
    for method, args in (("push_int", (-1,)), ("push_int", (2**256,)), ("push_bytes", (b"\0" * 33,)), ("pop1_int", ())):
        errors = []
        for stack in (Stack(), FastStack()):
            with pytest.raises(Exception) as caught:  # noqa: PT011
                getattr(stack, method)(*args)
            errors.append((caught.type, str(caught.value)))
        assert errors[0] == errors[1]


@pytest.mark.parametrize("seed", range(5))
def test_the_trie_has_the_same_roots_and_the_same_nodes(seed):
    rng = random.Random(seed)
    plain, fast = (kind({}, prune=True) for kind in (HexaryTrie, FastTrie))
    keys = [rng.randbytes(rng.choice((1, 2, 32))) for _ in range(40)]
    for _ in range(200):
        key, value = rng.choice(keys), rng.choice((b"", b"x", rng.randbytes(rng.randrange(1, 70))))
        for trie in (plain, fast):
            trie[key] = value
        assert fast.root_hash == plain.root_hash
        assert fast.db == plain.db
        assert fast[key] == plain[key] == value


@pytest.mark.parametrize("count", [0, 1, 2, 130, 300])
def test_the_trie_of_a_block_is_the_same(count):
    rng = random.Random(count)
    items = tuple(rng.randbytes(rng.randrange(1, 120)) for _ in range(count))
    assert trie_root_and_nodes(items) == _make_trie_root_and_nodes(items)


def test_a_missing_node_is_an_error():
    full = FastTrie({})
    full[b"key"] = b"v" * 40
    with pytest.raises(KeyError):
        FastTrie({}, full.root_hash).get_node(full.root_hash)


def run(code: str, **environment: str) -> str:
    clean = {k: v for k, v in os.environ.items() if k not in ("ETH_HASH_BACKEND", "ECC_BACKEND_CLASS")} | environment
    return subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True).stdout


HASH = """
import sys
{before}
from bofl_jax.ledger.chain.py_evm import chain
from eth_hash.auto import keccak
print(keccak(b'').hex()[:8], keccak.hasher.__self__.__class__.__name__, bool(sys.modules.get('sha3')))
"""


def test_the_hash_falls_back_where_pysha3_is_missing():
    assert run(HASH.format(before="sys.modules['sha3'] = None")).split()[::2] == ["c5d24601", "False"]


def test_the_users_choice_of_a_hash_is_kept():
    assert run(HASH.format(before=""), ETH_HASH_BACKEND="pycryptodome").split()[::2] == ["c5d24601", "False"]


def test_pysha3_is_used_where_it_is_installed():
    pytest.importorskip("sha3")
    assert run(HASH.format(before="")).split()[:2] == ["c5d24601", "PySha3Backend"]


def test_both_signature_libraries_give_the_same_signatures():
    code = (
        "from bofl_jax.ledger.chain.accounts import private_key as k; "
        "print(*(k(b'k' * 32).sign_msg(m) for m in (b'', b'm')))"
    )
    assert run(code) == run(code, ECC_BACKEND_CLASS="eth_keys.backends.NativeECCBackend")


def test_py_evms_own_classes_are_untouched():
    assert FastComputation.opcodes.keys() - PragueComputation.opcodes.keys() == {-1}
    assert outcome(PragueState, b"\x5f\x5f\xf3", 100)["gas"] == 4
    assert bytes(20) == ZERO_ADDRESS
