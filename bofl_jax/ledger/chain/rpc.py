"""JSON-RPC over HTTP to an Ethereum node: questions, alone or many in one request, and what stands in the answers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bofl_jax.core.errors import BoflError

if TYPE_CHECKING:
    from web3 import HTTPProvider

BATCH = 100  # questions in one HTTP request; public nodes refuse many more
BUSY = (429, 502, 503, 504)  # HTTP answers after which the same request is sent again

Json = Mapping[str, Any]
Request = tuple[str, Sequence[Any]]


class Rpc:
    """JSON-RPC over HTTP: questions to a node, alone or many in one request."""

    def __init__(self, url: str, timeout: float) -> None:
        self._shown = _shown(url)
        self._provider = _provider(url, timeout)

    def one(self, method: str, *params: Any) -> Any:
        """The result of one question, which must have one (it may be null)."""
        return _result(method, self.answer(method, *params))

    def many(self, requests: Sequence[Request]) -> list[Any]:
        """The results of many."""
        pairs = zip(requests, self.answers(requests), strict=True)
        return [_result(method, answer) for (method, _), answer in pairs]

    def answer(self, method: str, *params: Any) -> Json:
        """The answer to one question: an object with ``result`` or ``error``."""
        return self.answers([(method, params)])[0]

    def answers(self, requests: Sequence[Request]) -> list[Json]:
        """The answers to many, in their order."""
        starts = range(0, len(requests), BATCH)
        return [answer for start in starts for answer in self._answers(requests[start : start + BATCH])]

    def _answers(self, batch: Sequence[Request]) -> list[Json]:
        """A node that does not take a batch, or not all of it, is asked one by one."""
        if len(batch) > 1:
            answers = self._post(self._provider.make_batch_request, list(batch))
            if isinstance(answers, list) and len(answers) == len(batch) and all(map(_is_answer, answers)):
                return answers
        return [self._alone(*request) for request in batch]

    def _alone(self, method: str, params: Sequence[Any]) -> Json:
        answer = self._post(self._provider.make_request, method, params)
        if not _is_answer(answer):
            raise self._absent("no JSON-RPC")
        return answer

    def _post(self, send: Any, *args: Any) -> Any:
        try:
            return send(*args)
        except (OSError, ValueError) as error:  # no connection, a refusal in HTTP; an answer that is no JSON
            reply = getattr(error, "response", None)
            raise self._absent("" if reply is None else f"HTTP {reply.status_code}") from error

    def _absent(self, reason: str) -> BoflError:
        why = f" ({reason})" if reason else ""
        return BoflError(
            f"no Ethereum node answers at {self._shown}{why}: start one, or set ledger.node to its address"
        )


def _shown(url: str) -> str:
    """Scheme, host and port of an address; the rest may hold an access key."""
    try:
        address = urlsplit(url)
    except ValueError:
        address = urlsplit("")
    if address.scheme not in ("http", "https") or not address.hostname:
        raise BoflError(f"{url!r} is no address of an Ethereum node: set ledger.node to an http:// or https:// URL")
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}"


def _provider(url: str, timeout: float) -> "HTTPProvider":
    """web3's connection, which repeats a request if and only if the node says that it is too busy."""
    try:
        from requests import Session
        from requests.adapters import HTTPAdapter
        from urllib3.util import Retry
        from web3 import HTTPProvider
    except ImportError as error:
        raise BoflError(f"ledger.node needs web3 ({error.name} is missing): pip install 'bofl_jax[node]'") from error
    session = Session()
    busy = Retry(5, connect=0, read=0, allowed_methods=None, status_forcelist=BUSY, backoff_factor=0.5)
    session.mount(url, HTTPAdapter(max_retries=busy))
    return HTTPProvider(url, {"timeout": timeout}, session, exception_retry_configuration=None)


def _result(method: str, answer: Json) -> Any:
    if failed(answer):
        raise BoflError(f"the node refused {method} ({message(answer)}): use one that can")
    return answer["result"]


def failed(answer: Json) -> bool:
    """Whether an answer is an error."""
    return answer.get("error") is not None


def _is_answer(answer: Any) -> bool:
    return isinstance(answer, Mapping) and ("result" in answer or isinstance(answer.get("error"), Mapping))


def message(answer: Json) -> str:
    """What the error of an answer says, in one line."""
    return " ".join(str(answer["error"].get("message", answer["error"])).split())


def revert_data(error: Json) -> bytes:
    """The encoded error of a reverted call: nodes put it into ``data``, some of them one level deeper."""
    data = error.get("data")
    data = data.get("data") if isinstance(data, Mapping) else data
    return to_bytes(data) if isinstance(data, str) and data.startswith("0x") else b""


def to_hex(data: bytes) -> str:
    """Bytes as JSON-RPC writes them."""
    return "0x" + data.hex()


def to_int(quantity: str) -> int:
    """A number as JSON-RPC writes it."""
    return int(quantity, 16)


def to_bytes(data: str) -> bytes:
    """Bytes from how JSON-RPC writes them."""
    return bytes.fromhex(data.removeprefix("0x"))
