"""Subclasses of py-evm's classes that give the same results to the bit with less overhead.

py-evm defines what every instruction does. These classes only reach that code faster, and hand every unusual case
(stack underflow, too little gas, an invalid jump) back to py-evm, so that the errors are py-evm's own. py-evm itself is
not patched: a chain asks for these classes, others keep theirs. Only `use_fast_keccak` and `fast_trie.cache_nibbles`
affect the whole process.

A transaction of ``submitUpdate`` takes 3.2 ms instead of 8.7 ms, the three transactions of a round take 13 ms instead
of 38 ms. The interpreter loop saves 1.9 ms per transaction, the tries 1.7 ms, the hash function 1.0 ms (measured one
after the other on one noisy machine).
"""

import os
from functools import lru_cache
from typing import Any, NoReturn, cast

from eth.constants import UINT_256_MAX
from eth.exceptions import InsufficientStack
from eth.vm.code_stream import CodeStream
from eth.vm.forks.cancun.state import get_total_blob_gas
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.state import PragueState
from eth.vm.logic.invalid import InvalidOpcode
from eth.vm.memory import Memory
from eth.vm.opcode import _FastOpcode
from eth.vm.stack import Stack
from eth_hash.auto import keccak

from bofl_jax.ledger.chain.py_evm.fast_trie import FastAccountDB

RUN_CODE = -1
"""The only opcode that py-evm's own loop sees: run the whole code."""
JUMP, JUMPI, PC, JUMPDEST, PUSH0, PUSH32, DUP1, DUP16, SWAP1, SWAP16 = bytes.fromhex("5657585b5f7f808f909f")
DELEGATED, PUSHES, DUPLICATES, SWAPS, JUMPS, JUMPS_IF = range(6)
"""How the loop executes an instruction: by calling py-evm's function, or by itself."""
STACK_LIMIT = 1024

Instruction = tuple[int, int, int, int, Any]
"""A decoded instruction: how to execute it, gas cost, constant (value or depth), next position, py-evm's function."""


def use_fast_keccak() -> bool:
    """Let ``eth_hash`` use pysha3 (2 us per hash) if it is installed, instead of pycryptodome (16 us).

    A backend that the user selected in the environment variable ``ETH_HASH_BACKEND`` is kept.

    Returns:
        Whether pysha3 is used now.
    """
    if "ETH_HASH_BACKEND" in os.environ:
        return False
    try:
        from eth_hash.backends import pysha3
    except ImportError:
        return False
    vars(keccak)["hasher"] = pysha3.backend.keccak256
    return True


class _DecodedCode(dict[int, Instruction]):
    """The instructions of one code by position, decoded when they are first reached."""

    def __init__(self, code: bytes) -> None:
        super().__init__()
        self.code = code
        self.jump_targets = _jump_targets(code)

    def __missing__(self, pc: int) -> Instruction:
        instruction = self[pc] = _decode(self.code, pc)
        return instruction


@lru_cache(maxsize=64)
def _decoded(code: bytes) -> _DecodedCode:
    return _DecodedCode(code)


def _jump_targets(code: bytes) -> frozenset[int]:
    """Positions of the JUMPDEST instructions that are not data of a PUSH."""
    targets, pc = [], 0
    while pc < len(code):
        if code[pc] == JUMPDEST:
            targets.append(pc)
        pc += code[pc] - PUSH0 + 1 if PUSH0 < code[pc] <= PUSH32 else 1
    return frozenset(targets)


def _decode(code: bytes, pc: int) -> Instruction:
    opcode = code[pc] if pc < len(code) else 0
    function = PragueComputation.opcodes.get(opcode) or InvalidOpcode(opcode)
    if not isinstance(function, _FastOpcode):  # the function charges its gas itself
        return DELEGATED, 0, 0, pc + 1, function
    gas, logic = function.gas_cost, function.logic_fn
    if PUSH0 <= opcode <= PUSH32:
        after = pc + 1 + opcode - PUSH0
        return PUSHES, gas, int.from_bytes(code[pc + 1 : after].ljust(opcode - PUSH0, b"\0"), "big"), after, logic
    if opcode == PC:
        return PUSHES, gas, pc, pc + 1, logic
    if DUP1 <= opcode <= DUP16:
        return DUPLICATES, gas, opcode - DUP1 + 1, pc + 1, logic
    if SWAP1 <= opcode <= SWAP16:
        return SWAPS, gas, opcode - SWAP1 + 2, pc + 1, logic
    return {JUMP: JUMPS, JUMPI: JUMPS_IF}.get(opcode, DELEGATED), gas, 0, pc + 1, logic


def _run(computation: Any) -> NoReturn:
    """Execute the code until an instruction raises: `Halt` at the end of the code, or an error.

    The remaining gas and the position are kept in local variables and written back before py-evm's functions need them.
    """
    code, meter, values = computation.code, computation._gas_meter, computation._stack.values
    instructions, targets = code.instructions, code.instructions.jump_targets
    push, pop = values.append, values.pop
    gas, pc = meter.gas_remaining, 0
    while True:
        how, cost, constant, after, logic = instructions[pc]
        if cost > gas:
            meter.gas_remaining = gas
            computation.get_opcode_fn(code[pc])(computation)
        gas -= cost
        pc = after
        if how == PUSHES and len(values) < STACK_LIMIT:
            push(constant)
        elif how == DUPLICATES and constant <= len(values) < STACK_LIMIT:
            push(values[-constant])
        elif how == SWAPS and constant <= len(values):
            values[-1], values[-constant] = values[-constant], values[-1]
        elif how == JUMPS_IF and len(values) > 1 and (not values[-2] or values[-1] in targets):
            target, condition = pop(), pop()
            pc = target if condition else pc
        elif how == JUMPS and values and values[-1] in targets:
            pc = pop()
        else:
            meter.gas_remaining, code.program_counter = gas, pc
            logic(computation)
            gas, pc = meter.gas_remaining, code.program_counter


class FastStack(Stack):
    """A stack of integers only: bytes that are pushed are converted."""

    __slots__ = ()

    def push_int(self, value: int) -> None:
        """Push an integer."""
        if len(self.values) < STACK_LIMIT and 0 <= value <= UINT_256_MAX:
            self._append(value)
        else:
            super().push_int(value)

    def push_bytes(self, value: bytes) -> None:
        """Push at most 32 bytes as a big-endian integer."""
        if len(value) > 32:
            super().push_bytes(value)
        self.push_int(int.from_bytes(value, "big"))

    def pop1_int(self) -> int:
        """Pop one integer."""
        values: list[Any] = self.values
        return values.pop() if values else super().pop1_int()

    def pop_ints(self, num_items: int) -> tuple[int, ...]:
        """Pop several integers, the top of the stack first."""
        values: list[Any] = self.values
        if num_items > len(values):
            raise InsufficientStack(f"Wanted {num_items} stack items, only had {len(values)}")
        items = tuple(values[: -num_items - 1 : -1])
        del values[-num_items:]
        return items


class FastMemory(Memory):
    """A memory that writes without validation where the value fits."""

    __slots__ = ()

    def write(self, start_position: int, size: int, value: bytes) -> None:
        """Write a value into memory that has been extended before."""
        if size == len(value) and start_position + size <= len(self._bytes):
            self._bytes[start_position : start_position + size] = value
        else:
            super().write(start_position, size, value)


class FastCode(CodeStream):
    """A code that `_run` executes as a whole instead of py-evm's loop byte by byte."""

    __slots__ = ("instructions",)

    def __init__(self, code_bytes: bytes) -> None:
        super().__init__(code_bytes)
        self.instructions = _decoded(code_bytes)

    def __iter__(self) -> Any:
        """Only `RUN_CODE`, so that py-evm's loop calls `_run` once."""
        return iter((RUN_CODE,))


class FastComputation(PragueComputation):
    """py-evm's Prague computation with the stack, memory and interpreter loop of this module."""

    opcodes = PragueComputation.opcodes | {RUN_CODE: cast(Any, _run)}

    def __init__(self, state: Any, message: Any, transaction_context: Any) -> None:
        super().__init__(state, message, transaction_context)
        self.code = FastCode(message.code)
        self._memory = FastMemory()
        stack = self._stack = FastStack()
        vars(self).update(
            consume_gas=self._gas_meter.consume_gas,
            stack_pop_ints=stack.pop_ints,
            stack_pop1_int=stack.pop1_int,
            stack_push_int=stack.push_int,
            stack_push_bytes=stack.push_bytes,
        )

    def extend_memory(self, start_position: int, size: int) -> None:
        """Extend the memory if it is too short."""
        if start_position + size > len(self._memory):
            super().extend_memory(start_position, size)


class FastHeader(PragueBlockHeader):
    """py-evm's header, whose copies share unchanged fields instead of copying and validating each one."""

    def copy(self, *args: Any, **changes: Any) -> "FastHeader":
        """A copy with some fields changed."""
        if args:
            return cast(FastHeader, PragueBlockHeader.copy(self, *args, **changes))
        copied = object.__new__(type(self))
        own: dict[str, Any] = cast(Any, copied).__dict__
        own.update({attribute: getattr(self, attribute) for attribute in self._meta.field_attrs})
        own.update({_ATTRIBUTE[field]: value for field, value in changes.items()})
        return copied


_ATTRIBUTE = dict(zip(FastHeader._meta.field_names, FastHeader._meta.field_attrs, strict=True))


class FastVM(PragueVM):
    """py-evm's Prague rules with one header copy less per transaction."""

    @classmethod
    def validate_receipt(cls, receipt: Any) -> None:
        """Do nothing: sealing and auditing both derive a receipt's bloom filter from its logs."""

    def increment_blob_gas_used(self, old_header: Any, transaction: Any) -> Any:
        """The header after a transaction; unchanged if the transaction has no blobs."""
        blobs = get_total_blob_gas(transaction)
        return super().increment_blob_gas_used(old_header, transaction) if blobs else old_header


class FastState(PragueState):
    """py-evm's Prague state with the classes of this module."""

    computation_class = FastComputation
    account_db_class = FastAccountDB
