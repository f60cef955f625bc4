"""What every benchmark prints, and where: one JSON document, on standard output and in a file if one is named."""

import json
import platform
from pathlib import Path
from typing import Any


def machine() -> dict[str, str]:
    """What can be said of the machine without JAX."""
    return {"cpu": platform.processor() or platform.machine(), "python": platform.python_version()}


def emit(result: dict[str, Any], path: Path | None) -> None:
    """Print a result, and write it."""
    text = json.dumps(result, indent=1)
    print(text)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
