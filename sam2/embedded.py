"""The weights that the package itself holds: those of the small model that was trained with `sam2.training`."""

import hashlib
from functools import lru_cache
from pathlib import Path

FOLDER = Path(__file__).parent / "weights"


def embedded_weights(variant: str) -> Path | None:
    """Return the file with a variant's weights, or None where the package has none.

    Raises ValueError where the file is not the one whose SHA-256 is written beside it.
    """
    path = FOLDER / f"{variant}.safetensors"
    if not path.is_file():
        return None
    found, expected = embedded_digest(path), path.with_suffix(".sha256").read_text().split()[0]
    if found != expected:
        raise ValueError(f"{path} has SHA-256 {found}; expected {expected}. Install the package again")
    return path


@lru_cache(maxsize=4)
def embedded_digest(path: Path) -> str:
    """Return the SHA-256 of a file of the package, which does not change while it is installed."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
