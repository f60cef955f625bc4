"""Contract calls without a transaction, and the reasons of reverted transactions."""

from typing import Any

from bofl_jax.core.errors import BoflError
from bofl_jax.ledger.chain.node.mining import MinedTransaction
from bofl_jax.ledger.chain.node.rpc import JsonRpcClient, error_message, is_error, revert_data, to_bytes, to_hex

ZERO_ADDRESS = bytes(20)
EXECUTION_REVERTED = 3  # error code of a reverted call
EXECUTION_ERRORS = ("revert", "out of gas", "opcode", "vm execution")
TRACE_METHODS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("trace_transaction", ()),
    ("debug_traceTransaction", ({"tracer": "callTracer"},)),  # on anvil its time grows with the length of the block
)


def call_contract(
    rpc: JsonRpcClient, to: bytes, data: bytes, block: str, sender: bytes = ZERO_ADDRESS, gas: int | None = None
) -> tuple[bool, bytes]:
    """Call a contract without a transaction.

    Args:
        rpc: connection to the node.
        to: 20 bytes, the contract; empty for a deployment.
        data: the calldata.
        block: number of the block whose state the call sees, or ``latest``.
        sender: 20 bytes, the calling account.
        gas: the gas limit; None for the node's own.

    Returns:
        Whether the call succeeded, and its output or encoded error.

    Raises:
        BoflError: if the node does not execute the call.
    """
    call = {"from": to_hex(sender), "data": to_hex(data)}
    call |= ({"to": to_hex(to)} if to else {}) | ({"gas": hex(gas)} if gas else {})
    response = rpc.response("eth_call", call, block)
    if not is_error(response):
        return True, to_bytes(response["result"])
    error, message = response["error"], error_message(response)
    output = revert_data(error)
    if output or error.get("code") == EXECUTION_REVERTED or any(word in message.lower() for word in EXECUTION_ERRORS):
        return False, output
    raise BoflError(f"the node rejected eth_call ({message}): use a node that supports it")


def revert_output(rpc: JsonRpcClient, transaction: MinedTransaction) -> bytes:
    """The encoded error of a reverted transaction.

    A node that can trace transactions knows it for certain. On other nodes the call is repeated on the state before
    the block, which lacks the earlier transactions of the block, and if it succeeds there on the state after the block.

    Args:
        rpc: connection to the node.
        transaction: the reverted transaction.
    """
    signed, number = transaction.signed, transaction.position[0]
    for method, options in TRACE_METHODS:
        output = _output_of_trace(rpc.response(method, to_hex(signed.hash), *options).get("result"))
        if output is not None:
            return output
    for block in (number - 1, number):
        success, output = call_contract(rpc, signed.to, signed.data, hex(block), signed.sender, signed.gas)
        if not success:
            return output
    return b""


def _output_of_trace(trace: Any) -> bytes | None:
    """The output in a transaction's trace; None without a trace, or if a list of frames lacks the revert's output."""
    if isinstance(trace, list):
        output = (trace[0].get("result") or {}).get("output") if trace else None
        return None if output is None else to_bytes(output)
    return None if trace is None else to_bytes(trace.get("output") or "0x")
