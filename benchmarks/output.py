"""Output of every benchmark: one JSON document, printed and written to a file if one is named."""

import json
import platform
from pathlib import Path
from typing import Any


def machine() -> dict[str, str]:
    """Processor and Python version."""
    return {"cpu": platform.processor() or platform.machine(), "python": platform.python_version()}


def emit(result: dict[str, Any], path: Path | None) -> None:
    """Print a result, and write it.

    Args:
        result: the result.
        path: file that is written, or None.
    """
    text = json.dumps(result, indent=1)
    print(text)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
