"""The committed artefact is what the pinned compiler makes of the committed source."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bofl_jax.ledger.contract.artefact import load_contract

CONTRACTS = Path(__file__).parents[2] / "contracts"
SOURCE = CONTRACTS / "src" / "FederationGovernance.sol"
LIMIT = 24_576  # bytes of code, EIP-170


@pytest.fixture(scope="module")
def compiler(tmp_path_factory):
    """A copy of ``contracts/`` with the compiler installed from the lock file."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("node and npm are needed to recompile the contract")
    copy = tmp_path_factory.mktemp("contracts") / "contracts"
    shutil.copytree(CONTRACTS, copy, ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    installed = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"npm cannot install the compiler: {installed.stderr.strip().splitlines()[-1:]}")
    return copy


def check(compiler):
    command = ["node", "compile.mjs", "--check"]
    return subprocess.run(command, cwd=compiler, capture_output=True, text=True, check=False)


def test_recompilation_gives_the_same_bytes(compiler):
    result = check(compiler)
    assert result.returncode == 0, result.stderr


def test_a_changed_source_is_noticed_in_one_line(compiler):
    source = compiler / "src" / SOURCE.name
    original = source.read_text()
    source.write_text(original.replace("role == 0) revert", "role == 1) revert"))
    result = check(compiler)
    source.write_text(original)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1


def test_the_artefact_names_its_source_and_settings():
    artefact = load_contract().artefact
    assert artefact["sourceSha256"] == hashlib.sha256(SOURCE.read_bytes()).hexdigest()
    assert artefact["compiler"].startswith("0.8.30+")
    assert artefact["settings"]["evmVersion"] == "prague"
    assert artefact["settings"]["metadata"] == {"bytecodeHash": "none", "appendCBOR": False}


def test_the_code_fits_on_a_network(world):
    contract = load_contract()
    assert len(contract.deployed_bytecode) < LIMIT
    assert world.chain.get_code(world.address) == contract.deployed_bytecode


def test_the_lock_file_names_no_host():
    packages = (CONTRACTS / "package-lock.json").read_text()
    assert "resolved" not in packages


def test_every_custom_error_and_event_is_tested():
    abi = load_contract().artefact["abi"]
    here = Path(__file__).parent
    tests = "".join(path.read_text() for path in here.glob("test_*.py"))
    names = [entry["name"] for entry in abi if entry["type"] in {"error", "event"}]
    assert [name for name in names if not re.search(rf"\b{name}\b", tests)] == []
