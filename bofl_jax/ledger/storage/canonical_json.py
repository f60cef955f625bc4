"""JSON files with one canonical form: a file with any other bytes than the program writes is rejected."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from bofl_jax.core.errors import VerificationError
from bofl_jax.core.parsing import parse_json

T = TypeVar("T")


def read_canonical(path: Path, parse: Callable[[Any], T], render: Callable[[T], str], otherwise: str) -> T:
    """Read a JSON file and check that it is, to the byte, the text of its content.

    Args:
        path: the file.
        parse: decoded JSON -> content; may raise ValueError, KeyError or TypeError.
        render: content -> text of the file.
        otherwise: the rest of the error's sentence if the text differs.

    Raises:
        VerificationError: if the file is missing, cannot be parsed or has another text.
    """
    try:
        text = path.read_bytes().decode()
        content = parse(parse_json(text))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VerificationError(f"{path.name} cannot be read ({error}): restore it from a copy") from error
    if text != render(content):
        raise VerificationError(f"{path.name} {otherwise}")
    return content
