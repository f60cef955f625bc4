"""The two ways in which a request ends badly, and the exit code each one stands for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class BoflError(Exception):
    """The request cannot be carried out (exit code 2).

    The message is one line that says what is wrong and how to mend it; the command line prints it as it is.
    """

    exit_code = 2


class VerificationError(BoflError):
    """Something that was checked does not hold (exit code 1): an audit, a checksum, a count.

    The message names the first thing that failed.
    """

    exit_code = 1


@contextmanager
def in_one_line() -> Iterator[None]:
    """For scripts: a BoflError ends the process with its message and exit code, without a traceback."""
    try:
        yield
    except BoflError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
