"""Pays for gas on networks where gas has a price."""

from collections.abc import Mapping
from decimal import Decimal

from bofl_jax.core.errors import BoflError
from bofl_jax.ledger.chain.accounts import address_of
from bofl_jax.ledger.chain.base import TransactionRequest
from bofl_jax.ledger.chain.node.mining import TransactionSender
from bofl_jax.ledger.chain.node.rpc import JsonRpcClient, to_hex, to_int
from bofl_jax.ledger.chain.transactions import sign_transaction

PRICE_MARGIN = 2  # multiple of the present price, so that a transaction is still accepted some blocks later
TOP_UP = 2  # multiple of the missing amount, so that few batches start with a transfer
TRANSFER_GAS = 21_000


class FeePayer:
    """Funds the accounts of a run from one account.

    Args:
        rpc: connection to the node.
        sender: sends the transfers.
        chain_id: id of the network's chain.
        key: 32 bytes, private key of the paying account; None if there is none.
    """

    def __init__(self, rpc: JsonRpcClient, sender: TransactionSender, chain_id: int, key: bytes | None) -> None:
        self._rpc, self._sender, self._chain_id, self._key = rpc, sender, chain_id, key

    def gas_price(self) -> int:
        """The price of gas to offer, in wei.

        A network with a base fee of 0 has no fees, although anvil suggests a tip there.
        """
        base_fee = self._rpc.call("eth_getBlockByNumber", "latest", False).get("baseFeePerGas")
        if base_fee is not None and to_int(base_fee) == 0:
            return 0
        return PRICE_MARGIN * max(to_int(base_fee or "0x0"), to_int(self._rpc.call("eth_gasPrice")))

    def fund(self, needs: Mapping[bytes, int], gas_price: int) -> None:
        """Transfer money to accounts that hold less than they need.

        Args:
            needs: address (20 bytes) -> needed amount in wei.
            gas_price: price of gas for the transfers, in wei.

        Raises:
            BoflError: if there is no paying account, or it does not hold enough.
        """
        responses = self._rpc.call_batch([("eth_getBalance", (to_hex(address), "latest")) for address in needs])
        balances = dict(zip(needs, map(to_int, responses), strict=True))
        short = [address for address, need in needs.items() if balances[address] < need]
        if not short:
            return
        if self._key is None:
            raise self._shortage(short[0], needs[short[0]] - balances[short[0]])
        self._transfer(self._key, {each: TOP_UP * needs[each] - balances[each] for each in short}, gas_price)

    def _transfer(self, key: bytes, amounts: Mapping[bytes, int], gas_price: int) -> None:
        payer = address_of(key)
        balance = to_int(self._rpc.call("eth_getBalance", to_hex(payer), "latest"))
        need = sum(amounts.values()) + len(amounts) * TRANSFER_GAS * gas_price
        if balance < need:
            raise self._shortage(payer, need - balance)
        nonces = self._sender.nonces([payer])[payer]
        signed = [
            sign_transaction(
                TransactionRequest(key, to, b"", TRANSFER_GAS), next(nonces), self._chain_id, gas_price, amount
            )
            for to, amount in amounts.items()
        ]
        for transfer in self._sender.send(signed):
            if not transfer.success:
                to = to_hex(transfer.signed.to)
                raise BoflError(f"the transfer to {to} was reverted: use an account without code, not {to_hex(payer)}")

    def _shortage(self, address: bytes, wei: int) -> BoflError:
        return BoflError(
            f"account {to_hex(address)} lacks {_ether(wei)} ETH on chain {self._chain_id} to pay for gas: "
            "set BOFL_LEDGER_FUNDER to the private key of an account that holds it"
        )


def _ether(wei: int) -> str:
    return f"{Decimal(wei) / 10**18:f}"
