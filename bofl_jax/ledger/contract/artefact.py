"""The compiled governance contract: encodes calls, and decodes results, events and errors."""

import json
from collections.abc import Sequence
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from eth_abi.abi import decode, encode
from eth_hash.auto import keccak

NAME = "FederationGovernance"
ENUMS: dict[str, tuple[str, ...]] = {
    "RoundState": ("None", "Open", "Committed", "Finalised", "Aborted"),
    "ClientState": ("Unknown", "Active", "Suspended", "Revoked"),
    "Refusal": (
        "None",
        "NotRegistered",
        "Suspended",
        "Revoked",
        "NotInCohort",
        "Duplicate",
        "BadSignature",
        "DigestMismatch",
        "NotFinite",
    ),
    "RequestState": ("None", "Pending", "Approved", "Rejected", "Logged", "Cancelled"),
    "Rejection": ("None", "BatchTooLarge", "NotRare", "RoundQuota", "TotalQuota", "Cooldown", "Discretion"),
}
"""The enums of the contract and their members; the ABI contains only numbers."""
ADMIN, AGGREGATOR, AUDITOR = 1, 2, 4
_BUILTIN_ERRORS = {"Error": ["string"], "Panic": ["uint256"]}

AbiEntry = dict[str, Any]
"""An entry of an ABI, or one of its inputs or outputs."""


class ContractEvent(NamedTuple):
    """A decoded event of the contract: its name and its arguments by name."""

    name: str
    args: dict[str, Any]


class Contract:
    """A compiled contract and the encodings that its ABI defines.

    Args:
        artefact: the output of ``contracts/compile.mjs``.
    """

    def __init__(self, artefact: dict[str, Any]) -> None:
        self.artefact = artefact

    @cached_property
    def bytecode(self) -> bytes:
        """The calldata of a deployment."""
        return bytes.fromhex(self.artefact["bytecode"][2:])

    @cached_property
    def deployed_bytecode(self) -> bytes:
        """The code at the contract's address after the deployment."""
        return bytes.fromhex(self.artefact["deployedBytecode"][2:])

    def encode_call(self, function: str, *args: Any) -> bytes:
        """The calldata of a call.

        >>> load_contract().encode_call("finaliseRound", 1, bytes(32)).hex()[:8]
        'd6edbff8'
        """
        entry = self._functions[function]
        return _selector(entry) + encode(_types(entry["inputs"]), args)

    def function_name(self, data: bytes) -> str | None:
        """The name of the function that calldata call; None if the contract has no such function."""
        return self._by_selector.get(data[:4])

    def decode_last_argument(self, data: bytes, function: str) -> Sequence[Any]:
        """The last argument of a call, which must be an array.

        Args:
            data: the calldata.
            function: name of the expected function.

        Returns:
            The array; empty if the calldata call another function.
        """
        entry = self._functions[function]
        if data[:4] != _selector(entry):
            return ()
        last: Sequence[Any] = decode(_types(entry["inputs"]), data[4:])[-1]
        return last

    def decode_error(self, output: bytes, name: str) -> tuple[Any, ...]:
        """The arguments of a custom error.

        Args:
            output: the encoded error of a revert.
            name: name of the expected error.

        Raises:
            ValueError: if the revert has another reason.
        """
        entry = self._errors.get(output[:4])
        if entry is None or entry["name"] != name:
            raise ValueError(f"not {name}, but {self.describe_error(output)}")
        return decode(_types(entry["inputs"]), output[4:])

    def decode_output(self, function: str, output: bytes) -> tuple[Any, ...]:
        """The returned values of a call.

        Args:
            function: name of the called function.
            output: its encoded output.
        """
        return decode(_types(self._functions[function]["outputs"]), output)

    def decode_log(self, topics: tuple[bytes, ...], data: bytes) -> ContractEvent:
        """Decode an event.

        Args:
            topics: 32 bytes each, the hash of the event's signature and its indexed arguments.
            data: its other arguments.

        Raises:
            KeyError: if the contract has no such event.
        """
        entry = self._events[topics[0]]
        indexed = [item for item in entry["inputs"] if item["indexed"]]
        plain = [item for item in entry["inputs"] if not item["indexed"]]
        args = {item["name"]: decode([item["type"]], topic)[0] for item, topic in zip(indexed, topics[1:], strict=True)}
        values = decode(_types(plain), data)
        return ContractEvent(entry["name"], args | dict(zip((item["name"] for item in plain), values, strict=True)))

    def describe_error(self, output: bytes) -> str:
        """The reason of a revert as text: the error's name and arguments.

        >>> load_contract().describe_error(keccak(b"UnknownRole(uint8)")[:4] + (9).to_bytes(32, "big"))
        'UnknownRole(role=9)'
        """
        entry = self._errors.get(output[:4])
        if entry is None:
            return f"reverted with 0x{output.hex()}" if output else "out of gas or no reason given"
        values = zip(entry["inputs"], decode(_types(entry["inputs"]), output[4:]), strict=True)
        shown = (f"{item['name']}={_show(value, item.get('internalType', ''))}" for item, value in values)
        return f"{entry['name']}({', '.join(shown)})"

    @cached_property
    def _functions(self) -> dict[str, AbiEntry]:
        return {entry["name"]: entry for entry in self.artefact["abi"] if entry["type"] == "function"}

    @cached_property
    def _by_selector(self) -> dict[bytes, str]:
        return {_selector(entry): name for name, entry in self._functions.items()}

    @cached_property
    def _events(self) -> dict[bytes, AbiEntry]:
        return {_signature_hash(entry): entry for entry in self.artefact["abi"] if entry["type"] == "event"}

    @cached_property
    def _errors(self) -> dict[bytes, AbiEntry]:
        own = [entry for entry in self.artefact["abi"] if entry["type"] == "error"]
        builtin = [
            {"name": name, "inputs": [{"name": "reason", "type": kind} for kind in kinds]}
            for name, kinds in _BUILTIN_ERRORS.items()
        ]
        return {_selector(entry): entry for entry in own + builtin}


@lru_cache(maxsize=1)
def load_contract() -> Contract:
    """The contract that the package ships."""
    return Contract(json.loads(files("bofl_jax.ledger.contract").joinpath(f"{NAME}.json").read_text()))


def _selector(entry: AbiEntry) -> bytes:
    return _signature_hash(entry)[:4]


def _signature_hash(entry: AbiEntry) -> bytes:
    return keccak(f"{entry['name']}({','.join(_types(entry['inputs']))})".encode())


def _types(items: list[AbiEntry]) -> list[str]:
    return [_type(item) for item in items]


def _type(item: AbiEntry) -> str:
    """An ABI type as signatures and codecs spell it, with structs as ``(a,b)``."""
    name: str = item["type"]
    if not name.startswith("tuple"):
        return name
    return f"({','.join(_types(item['components']))}){name.removeprefix('tuple')}"


def _show(value: Any, internal_type: str) -> str:
    if internal_type.startswith("enum"):
        return ENUMS[internal_type.rpartition(".")[2]][int(value)]
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)
