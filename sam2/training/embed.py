"""`python -m sam2.training.embed WEIGHTS [VARIANT]`: put trained weights into the package, in float16, with their SHA-256."""

import hashlib
import sys
from pathlib import Path

from sam2.checkpoint import FOLDER, load_weights, read_weights
from sam2.modeling.sam2_base import SAM2Base
from sam2.training.saving import save_half
from sam2.variants import find_config

LARGEST_BYTES = 8 * 2**20


def embed(weights: Path, variant: str = "sam2.1_nano", folder: Path = FOLDER) -> Path:
    """Write a variant's weights as the package holds them; a ValueError where they do not fit, or are over 8 MiB."""
    load_weights(SAM2Base(config=find_config(variant)), weights, variant=variant)
    path = folder / f"{variant}.safetensors"
    save_half(path, read_weights(weights))
    if path.stat().st_size > LARGEST_BYTES:
        path.unlink()
        raise ValueError(f"{variant} takes more than {LARGEST_BYTES} bytes in float16: too much to keep in the package")
    path.with_suffix(".sha256").write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    return path


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit("usage: python -m sam2.training.embed WEIGHTS [VARIANT]")
    print(embed(Path(sys.argv[1]), *sys.argv[2:]))
