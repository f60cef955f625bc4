"""Make a virtual environment for each peer, with the exact versions of ``requirements/NAME.txt``.

    python benchmarks/peers/environments.py --root build/peers              # all of them
    python benchmarks/peers/environments.py --root build/peers torch pfl    # some

The versions are for Python 3.11, so run it with that. ``ours`` is this package with ``constraints.txt``. An environment
that was made from the same versions is kept. If one cannot be made, its name is printed and the others are made.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
NAMES = ("ours", *sorted(path.stem for path in (HERE / "requirements").glob("*.txt")))


def python_of(root: Path, name: str) -> Path:
    """The interpreter of an environment.

    Args:
        root: folder of the environments.
        name: name of the environment.
    """
    return root.resolve() / name / "bin" / "python"


def pinned(name: str) -> Path:
    """The file with the exact versions."""
    return REPOSITORY / "constraints.txt" if name == "ours" else HERE / "requirements" / f"{name}.txt"


def make(root: Path, name: str) -> None:
    """Make one environment, unless it exists.

    Args:
        root: folder of the environments.
        name: name of the environment.

    Raises:
        subprocess.CalledProcessError: if a version cannot be installed.
    """
    stamp = root / name / "made-from.txt"
    if stamp.exists() and stamp.read_text() == pinned(name).read_text():
        return
    shutil.rmtree(root / name, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", root / name], check=True)
    packages = ["-c", pinned(name), REPOSITORY] if name == "ours" else ["-r", pinned(name)]
    python = python_of(root, name)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], check=True)
    stamp.write_text(pinned(name).read_text())


def main() -> int:
    """Make the environments; returns the number of those that could not be made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder of the environments")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}; all of them when left out")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    failed = []
    for name in arguments.names or NAMES:
        print(f"{name} ...", flush=True)
        try:
            make(arguments.root, name)
        except subprocess.CalledProcessError as error:
            failed.append(name)
            print(f"{name} cannot be made: {' '.join(map(str, error.cmd))}", file=sys.stderr, flush=True)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
