"""Fields of a CSV file as values that sort and add up."""

import math


def number(text: str | None) -> float | str | None:
    """A number if it is one, None if it is empty or undefined, else the text.

    >>> number("0.5"), number(""), number("nan"), number("fedavg")
    (0.5, None, None, 'fedavg')
    """
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else None
