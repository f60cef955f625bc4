"""JSON-RPC over HTTP to an Ethereum node: single and batched requests, and the encoding of values."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bofl_jax.core.errors import BoflError

if TYPE_CHECKING:
    from web3 import HTTPProvider

REQUESTS_PER_BATCH = 100  # public nodes reject larger batches
RETRY_STATUSES = (429, 502, 503, 504)  # HTTP status codes after which the same request is sent again

Json = Mapping[str, Any]
Request = tuple[str, Sequence[Any]]
"""A method and its parameters."""


class JsonRpcClient:
    """A connection to an Ethereum node.

    Args:
        url: ``http://`` or ``https://`` address of the node.
        timeout: seconds to wait for a response.

    Raises:
        BoflError: if the URL has another form, or web3 is not installed.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._public_url = _public_url(url)
        self._provider = _provider(url, timeout)

    def call(self, method: str, *params: Any) -> Any:
        """The result of one request, which may be null. Raises BoflError if the node responds with an error."""
        return _result(method, self.response(method, *params))

    def call_batch(self, requests: Sequence[Request]) -> list[Any]:
        """The results of many requests, in their order. Raises BoflError if the node responds with an error."""
        pairs = zip(requests, self.responses(requests), strict=True)
        return [_result(method, response) for (method, _), response in pairs]

    def response(self, method: str, *params: Any) -> Json:
        """The response to one request: an object with ``result`` or ``error``."""
        return self.responses([(method, params)])[0]

    def responses(self, requests: Sequence[Request]) -> list[Json]:
        """The responses to many requests, in their order."""
        starts = range(0, len(requests), REQUESTS_PER_BATCH)
        return [response for start in starts for response in self._batch(requests[start : start + REQUESTS_PER_BATCH])]

    def _batch(self, requests: Sequence[Request]) -> list[Json]:
        """Send a batch; if the node does not support batches, or answers only a part, send the requests one by one."""
        if len(requests) > 1:
            responses = self._post(self._provider.make_batch_request, list(requests))
            if isinstance(responses, list) and len(responses) == len(requests) and all(map(_is_response, responses)):
                return responses
        return [self._single(*request) for request in requests]

    def _single(self, method: str, params: Sequence[Any]) -> Json:
        response: Json = self._post(self._provider.make_request, method, params)
        if not _is_response(response):
            raise self._unreachable("no JSON-RPC")
        return response

    def _post(self, send: Callable[..., Any], *args: Any) -> Any:
        try:
            return send(*args)
        except (OSError, ValueError) as error:  # no connection, an HTTP error, or a response that is not JSON
            reply = getattr(error, "response", None)
            raise self._unreachable("" if reply is None else f"HTTP {reply.status_code}") from error

    def _unreachable(self, reason: str) -> BoflError:
        why = f" ({reason})" if reason else ""
        return BoflError(
            f"no Ethereum node answers at {self._public_url}{why}: start one, or set ledger.node to its address"
        )


def _public_url(url: str) -> str:
    """Scheme, host and port of a URL. The rest may contain an access key, which must not appear in messages."""
    try:
        address = urlsplit(url)
    except ValueError:
        address = urlsplit("")
    if address.scheme not in ("http", "https") or not address.hostname:
        raise BoflError(
            f"{url!r} is not the address of an Ethereum node: set ledger.node to an http:// or https:// URL"
        )
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}"


def _provider(url: str, timeout: float) -> "HTTPProvider":
    """web3's connection, configured to repeat a request only if the node is too busy."""
    try:
        from requests import Session
        from requests.adapters import HTTPAdapter
        from urllib3.util import Retry
        from web3 import HTTPProvider
    except ImportError as error:
        raise BoflError(f"ledger.node needs web3 ({error.name} is missing): pip install 'bofl_jax[node]'") from error
    session = Session()
    retry = Retry(5, connect=0, read=0, allowed_methods=None, status_forcelist=RETRY_STATUSES, backoff_factor=0.5)
    session.mount(url, HTTPAdapter(max_retries=retry))
    return HTTPProvider(url, {"timeout": timeout}, session, exception_retry_configuration=None)


def _result(method: str, response: Json) -> Any:
    if is_error(response):
        raise BoflError(f"the node rejected {method} ({error_message(response)}): use a node that supports it")
    return response["result"]


def is_error(response: Json) -> bool:
    """Whether a response is an error."""
    return response.get("error") is not None


def _is_response(response: Any) -> bool:
    return isinstance(response, Mapping) and ("result" in response or isinstance(response.get("error"), Mapping))


def error_message(response: Json) -> str:
    """The message of an error response, in one line."""
    return " ".join(str(response["error"].get("message", response["error"])).split())


def revert_data(error: Json) -> bytes:
    """The encoded error of a reverted call; nodes return it in ``data``, some of them one level deeper."""
    data = error.get("data")
    data = data.get("data") if isinstance(data, Mapping) else data
    return to_bytes(data) if isinstance(data, str) and data.startswith("0x") else b""


def to_hex(data: bytes) -> str:
    """Bytes in the encoding of JSON-RPC."""
    return "0x" + data.hex()


def to_int(quantity: str) -> int:
    """A number from the encoding of JSON-RPC."""
    return int(quantity, 16)


def to_bytes(data: str) -> bytes:
    """Bytes from the encoding of JSON-RPC."""
    return bytes.fromhex(data.removeprefix("0x"))
