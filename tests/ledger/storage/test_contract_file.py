"""The file contract.json: files of earlier sources with the same bytecode stay valid, all others are rejected."""

import hashlib
import json
from pathlib import Path

import pytest

from bofl_jax.core.errors import VerificationError
from bofl_jax.ledger.storage.contract_file import EARLIER_SOURCES, read_contract, write_contract

ADDRESS = bytes(range(20))
SOURCE = Path(__file__).parents[3] / "contracts" / "src" / "FederationGovernance.sol"


@pytest.fixture
def path(tmp_path):
    write_contract(tmp_path / "contract.json", ADDRESS)
    return tmp_path / "contract.json"


def with_source(path, source):
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sourceSha256": source}, indent=1) + "\n")


def test_the_address_is_read_back(path):
    assert read_contract(path) == ADDRESS


@pytest.mark.parametrize("source", EARLIER_SOURCES)
def test_a_file_of_an_earlier_source_with_the_same_bytecode_is_valid(path, source):
    with_source(path, source)
    assert read_contract(path) == ADDRESS
    path.write_text(path.read_text().replace("60806040", "60806041", 1))
    with pytest.raises(VerificationError, match="does not describe the contract"):
        read_contract(path)


@pytest.mark.parametrize("source", ["", "0" * 64, EARLIER_SOURCES[0].upper(), [], {}])
def test_a_file_of_another_source_is_rejected(path, source):
    with_source(path, source)
    with pytest.raises(VerificationError, match="does not describe the contract"):
        read_contract(path)


def test_the_present_source_is_not_listed_as_an_earlier_one():
    assert hashlib.sha256(SOURCE.read_bytes()).hexdigest() not in EARLIER_SOURCES
