"""The governance contract as Python sees it: calls to bytes, bytes to results, events and readable errors."""

import json
from collections.abc import Sequence
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from eth_abi import decode, encode
from eth_hash.auto import keccak

from bofl_jax.core.errors import VerificationError
from bofl_jax.core.parsing import parse_json

NAME = "FederationGovernance"
ENUMS = {
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
ADMIN, AGGREGATOR, AUDITOR = 1, 2, 4
_BUILTIN_ERRORS = {"Error": ["string"], "Panic": ["uint256"]}


class LogEvent(NamedTuple):
    """A decoded contract event."""

    name: str
    args: dict[str, Any]


class Contract:
    """A compiled contract: its artefact (see ``contracts/``) and the encodings that follow from its ABI."""

    def __init__(self, artefact: dict[str, Any]) -> None:
        self.artefact = artefact

    @cached_property
    def bytecode(self) -> bytes:
        """What a deployment sends."""
        return bytes.fromhex(self.artefact["bytecode"][2:])

    @cached_property
    def deployed_bytecode(self) -> bytes:
        """What then stands at the contract's address."""
        return bytes.fromhex(self.artefact["deployedBytecode"][2:])

    def encode(self, function: str, *args: Any) -> bytes:
        """Calldata of a call.

        >>> load_contract().encode("finaliseRound", 1, bytes(32)).hex()[:8]
        'd6edbff8'
        """
        entry = self._by_name[function]
        return _hash(entry)[:4] + encode(_types(entry["inputs"]), args)

    def function_of(self, data: bytes) -> str | None:
        """The name of the function that calldata is for; None if it is none of this contract's."""
        return self._by_selector.get(data[:4])

    def decode_call(self, data: bytes, function: str) -> Sequence[Any]:
        """The last argument of a call to ``function``; nothing if the calldata is of another."""
        entry = self._by_name[function]
        return decode(_types(entry["inputs"]), data[4:])[-1] if data[:4] == _hash(entry)[:4] else ()

    def decode_error(self, output: bytes, name: str) -> tuple[Any, ...]:
        """The arguments of the error ``name``. Raises ValueError if the revert has another reason."""
        entry = self._errors.get(output[:4])
        if entry is None or entry["name"] != name:
            raise ValueError(f"not {name}, but {self.describe_error(output)}")
        return decode(_types(entry["inputs"]), output[4:])

    def decode_output(self, function: str, output: bytes) -> tuple[Any, ...]:
        """What a call returned."""
        return decode(_types(self._by_name[function]["outputs"]), output)

    def decode_log(self, topics: tuple[bytes, ...], data: bytes) -> LogEvent:
        """An event. Raises KeyError if it is none of this contract's."""
        entry = self._events[topics[0]]
        indexed = [item for item in entry["inputs"] if item["indexed"]]
        plain = [item for item in entry["inputs"] if not item["indexed"]]
        args = {item["name"]: decode([item["type"]], topic)[0] for item, topic in zip(indexed, topics[1:], strict=True)}
        values = decode(_types(plain), data)
        return LogEvent(entry["name"], args | dict(zip((item["name"] for item in plain), values, strict=True)))

    def describe_error(self, output: bytes) -> str:
        """A revert's reason in words: the error's name and arguments.

        >>> load_contract().describe_error(keccak(b"UnknownRole(uint8)")[:4] + (9).to_bytes(32, "big"))
        'UnknownRole(role=9)'
        """
        entry = self._errors.get(output[:4])
        if entry is None:
            return f"reverted with 0x{output.hex()}" if output else "out of gas or no reason given"
        values = decode(_types(entry["inputs"]), output[4:])
        names = (item["name"] for item in entry["inputs"])
        kinds = (item.get("internalType", "") for item in entry["inputs"])
        shown = (f"{n}={_show(v, k)}" for n, v, k in zip(names, values, kinds, strict=True))
        return f"{entry['name']}({', '.join(shown)})"

    @cached_property
    def _by_name(self) -> dict[str, dict[str, Any]]:
        return {entry["name"]: entry for entry in self.artefact["abi"] if entry["type"] == "function"}

    @cached_property
    def _by_selector(self) -> dict[bytes, str]:
        return {_hash(entry)[:4]: name for name, entry in self._by_name.items()}

    @cached_property
    def _events(self) -> dict[bytes, dict[str, Any]]:
        return {_hash(entry): entry for entry in self.artefact["abi"] if entry["type"] == "event"}

    @cached_property
    def _errors(self) -> dict[bytes, dict[str, Any]]:
        own = [entry for entry in self.artefact["abi"] if entry["type"] == "error"]
        builtin = [
            {"name": name, "inputs": [{"name": "reason", "type": kind} for kind in kinds]}
            for name, kinds in _BUILTIN_ERRORS.items()
        ]
        return {_hash(entry)[:4]: entry for entry in own + builtin}


@lru_cache(maxsize=1)
def load_contract() -> Contract:
    """The contract that ships with the package."""
    return Contract(json.loads(files("bofl_jax.ledger.contract").joinpath(f"{NAME}.json").read_text()))


def deployed_address(sender: bytes, nonce: int) -> bytes:
    """20 bytes: where a contract deployed by ``sender`` with that nonce comes to stand."""
    import rlp

    return keccak(rlp.encode([sender, nonce]))[12:]


def _hash(entry: dict[str, Any]) -> bytes:
    return keccak(f"{entry['name']}({','.join(_types(entry['inputs']))})".encode())


def _types(items: list[dict[str, Any]]) -> list[str]:
    return [_type(item) for item in items]


def _type(item: dict[str, Any]) -> str:
    """An ABI type as signatures and codecs spell it: structs as ``(a,b)``."""
    if not item["type"].startswith("tuple"):
        return item["type"]
    return f"({','.join(_types(item['components']))}){item['type'].removeprefix('tuple')}"


def _show(value: Any, kind: str) -> str:
    if kind.startswith("enum"):
        return ENUMS[kind.rpartition(".")[2]][value]
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


def write_contract(path: Path, address: bytes) -> None:
    """Write ``contract.json``: where the contract stands, and its ABI, bytecode and origin for other tools."""
    path.write_bytes(_contract_text(load_contract(), address).encode())


def read_contract(path: Path) -> bytes:
    """The contract's 20-byte address.

    Raises:
        VerificationError: if the file is missing, was changed, or describes another contract than the package's.
    """
    try:
        text = path.read_bytes().decode()
        address = bytes.fromhex(parse_json(text)["address"][2:])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VerificationError(f"{path.name} cannot be read ({error}): restore it from a copy") from error
    if text != _contract_text(load_contract(), address):
        raise VerificationError(f"{path.name} is not about the contract that this version of bofl_jax ships")
    return address


def _contract_text(contract: Contract, address: bytes) -> str:
    return json.dumps({"address": "0x" + address.hex(), **contract.artefact}, indent=1) + "\n"
