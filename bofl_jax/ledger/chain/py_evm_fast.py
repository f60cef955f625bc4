"""py-evm with less overhead: the same results to the bit, from classes of its own that do less work around them.

py-evm defines what every instruction does. What is here only gets there faster, and hands back to py-evm whatever is
out of the ordinary (an underflow, too little gas, a bad jump), so that errors are its own too. py-evm is not patched:
an engine asks for these classes, others keep theirs. Only `use_fast_keccak` and `trie_speed.remember_nibbles` reach the
whole process.

A transaction of `submitUpdate` came down from 8.7 to 3.2 ms, the three of a round from 38 to 13 ms. Most of it: the
loop 1.9 ms a transaction, the tries 1.7, the hash 1.0 (measured one after the other on one noisy machine).
"""

import os
from functools import lru_cache
from typing import Any, NoReturn, cast

from eth.constants import UINT_256_MAX
from eth.exceptions import InsufficientStack
from eth.vm.code_stream import CodeStream
from eth.vm.forks import PragueVM
from eth.vm.forks.cancun.state import get_total_blob_gas
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.state import PragueState
from eth.vm.logic.invalid import InvalidOpcode
from eth.vm.memory import Memory
from eth.vm.opcode import _FastOpcode
from eth.vm.stack import Stack
from eth_hash.auto import keccak

from bofl_jax.ledger.chain.trie_fast import LeanAccountDB

RUN = -1
"""The one "instruction" that py-evm's own loop sees: run the whole code."""
JUMP, JUMPI, PC, JUMPDEST, PUSH0, PUSH32, DUP1, DUP16, SWAP1, SWAP16 = bytes.fromhex("5657585b5f7f808f909f")
CALLED, PUSHES, COPIES, SWAPS, JUMPS, JUMPS_IF = range(6)
"""How the loop carries out an instruction: by py-evm's function, or else by itself."""
STACK = 1024

Step = tuple[int, int, int, int, Any]
"""A decoded instruction: how, its gas, its constant (value or depth), where the next one stands, py-evm's function."""


def use_fast_keccak() -> bool:
    """Let ``eth_hash`` use pysha3 (2 us a hash) where it is installed, in place of pycryptodome (16 us).

    A choice that the user made in ``ETH_HASH_BACKEND`` stands.
    """
    if "ETH_HASH_BACKEND" in os.environ:
        return False
    try:
        from eth_hash.backends import pysha3
    except ImportError:
        return False
    vars(keccak)["hasher"] = pysha3.backend.keccak256
    return True


class _Decoded(dict[int, Step]):
    """The instructions of one code by position, decoded when they are first reached."""

    def __init__(self, code: bytes) -> None:
        super().__init__()
        self.code = code
        self.targets = _jump_targets(code)

    def __missing__(self, pc: int) -> Step:
        step = self[pc] = _decode(self.code, pc)
        return step


@lru_cache(maxsize=64)
def _decoded(code: bytes) -> _Decoded:
    return _Decoded(code)


def _jump_targets(code: bytes) -> frozenset[int]:
    """Where a JUMPDEST stands that is not data of a PUSH."""
    targets, pc = [], 0
    while pc < len(code):
        if code[pc] == JUMPDEST:
            targets.append(pc)
        pc += code[pc] - PUSH0 + 1 if PUSH0 < code[pc] <= PUSH32 else 1
    return frozenset(targets)


def _decode(code: bytes, pc: int) -> Step:
    opcode = code[pc] if pc < len(code) else 0
    function = PragueComputation.opcodes.get(opcode) or InvalidOpcode(opcode)
    if not isinstance(function, _FastOpcode):  # it charges its gas itself
        return CALLED, 0, 0, pc + 1, function
    gas, logic = function.gas_cost, function.logic_fn
    if PUSH0 <= opcode <= PUSH32:
        after = pc + 1 + opcode - PUSH0
        return PUSHES, gas, int.from_bytes(code[pc + 1 : after].ljust(opcode - PUSH0, b"\0"), "big"), after, logic
    if opcode == PC:
        return PUSHES, gas, pc, pc + 1, logic
    if DUP1 <= opcode <= DUP16:
        return COPIES, gas, opcode - DUP1 + 1, pc + 1, logic
    if SWAP1 <= opcode <= SWAP16:
        return SWAPS, gas, opcode - SWAP1 + 2, pc + 1, logic
    return {JUMP: JUMPS, JUMPI: JUMPS_IF}.get(opcode, CALLED), gas, 0, pc + 1, logic


def _run(computation: Any) -> NoReturn:
    """Carry out the code until an instruction raises: `Halt` at its end, or the error that it runs into.

    The gas left and the position live in local variables and are written back before py-evm's functions see them.
    """
    code, meter, values = computation.code, computation._gas_meter, computation._stack.values
    steps, targets = code.steps, code.steps.targets
    push, pop = values.append, values.pop
    gas, pc = meter.gas_remaining, 0
    while True:
        how, cost, constant, after, logic = steps[pc]
        if cost > gas:
            meter.gas_remaining = gas
            computation.get_opcode_fn(code[pc])(computation)
        gas -= cost
        pc = after
        if how == PUSHES and len(values) < STACK:
            push(constant)
        elif how == COPIES and constant <= len(values) < STACK:
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


class LeanStack(Stack):
    """A stack of integers only: every value that is pushed as bytes becomes one."""

    __slots__ = ()

    def push_int(self, value: int) -> None:
        if len(self.values) < STACK and 0 <= value <= UINT_256_MAX:
            self._append(value)
        else:
            super().push_int(value)

    def push_bytes(self, value: bytes) -> None:
        if len(value) > 32:
            super().push_bytes(value)
        self.push_int(int.from_bytes(value, "big"))

    def pop1_int(self) -> int:
        values: list[Any] = self.values
        return values.pop() if values else super().pop1_int()

    def pop_ints(self, num_items: int) -> tuple[int, ...]:
        values: list[Any] = self.values
        if num_items > len(values):
            raise InsufficientStack(f"Wanted {num_items} stack items, only had {len(values)}")
        items = tuple(values[: -num_items - 1 : -1])
        del values[-num_items:]
        return items


class LeanMemory(Memory):
    __slots__ = ()

    def write(self, start_position: int, size: int, value: bytes) -> None:
        if size == len(value) and start_position + size <= len(self._bytes):
            self._bytes[start_position : start_position + size] = value
        else:
            super().write(start_position, size, value)


class LeanCode(CodeStream):
    """A code that is run by `_run` instead of being read byte by byte."""

    __slots__ = ("steps",)

    def __init__(self, code_bytes: bytes) -> None:
        super().__init__(code_bytes)
        self.steps = _decoded(code_bytes)

    def __iter__(self) -> Any:
        return iter((RUN,))


class LeanComputation(PragueComputation):
    """py-evm's Prague computation on the stack, memory and loop of this module."""

    opcodes = PragueComputation.opcodes | {RUN: cast(Any, _run)}

    def __init__(self, state: Any, message: Any, transaction_context: Any) -> None:
        super().__init__(state, message, transaction_context)
        self.code = LeanCode(message.code)
        self._memory = LeanMemory()
        stack = self._stack = LeanStack()
        vars(self).update(
            consume_gas=self._gas_meter.consume_gas,
            stack_pop_ints=stack.pop_ints,
            stack_pop1_int=stack.pop1_int,
            stack_push_int=stack.push_int,
            stack_push_bytes=stack.push_bytes,
        )

    def extend_memory(self, start_position: int, size: int) -> None:
        if start_position + size > len(self._memory):
            super().extend_memory(start_position, size)


class LeanHeader(PragueBlockHeader):
    """py-evm's header, whose copies keep what they share instead of copying and checking it field by field."""

    def copy(self, *args: Any, **changes: Any) -> "LeanHeader":
        if args:
            return cast(LeanHeader, PragueBlockHeader.copy(self, *args, **changes))
        copied = object.__new__(type(self))
        own: dict[str, Any] = cast(Any, copied).__dict__
        own.update({attribute: getattr(self, attribute) for attribute in self._meta.field_attrs})
        own.update({_ATTRIBUTE[field]: value for field, value in changes.items()})
        return copied


_ATTRIBUTE = dict(zip(LeanHeader._meta.field_names, LeanHeader._meta.field_attrs, strict=True))


class LeanVM(PragueVM):
    """py-evm's Prague rules, with one copy of the header a transaction less."""

    @classmethod
    def validate_receipt(cls, receipt: Any) -> None:
        """A receipt's filter is made from its logs, here as in an audit: nothing is learnt from comparing the two."""

    def increment_blob_gas_used(self, old_header: Any, transaction: Any) -> Any:
        blobs = get_total_blob_gas(transaction)
        return super().increment_blob_gas_used(old_header, transaction) if blobs else old_header


class LeanState(PragueState):
    computation_class = LeanComputation
    account_db_class = LeanAccountDB
