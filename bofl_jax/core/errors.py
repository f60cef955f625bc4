"""The two kinds of expected errors, and their exit codes."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class BoflError(Exception):
    """The request cannot be carried out (exit code 2).

    The message is one line that says what is wrong and how to fix it. The command line prints it unchanged.
    """

    exit_code = 2


class VerificationError(BoflError):
    """A verification failed (exit code 1): an audit, a checksum, a count.

    The message names the first failure.
    """

    exit_code = 1


@contextmanager
def exit_on_error() -> Iterator[None]:
    """End a script on a `BoflError` with the error's message and exit code, without a traceback."""
    try:
        yield
    except BoflError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
