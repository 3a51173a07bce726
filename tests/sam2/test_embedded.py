"""The package's own weights: whole, small, and what `build_sam2` uses."""

import hashlib
from pathlib import Path

import pytest

from sam2 import embedded
from sam2.embedded import FOLDER, embedded_weights


def test_the_file_is_the_one_its_digest_names() -> None:
    path = embedded_weights("sam2.1_nano")
    assert path is not None
    digest, name = path.with_suffix(".sha256").read_text().split()
    assert (name, digest) == (path.name, hashlib.sha256(path.read_bytes()).hexdigest())
    assert path.stat().st_size <= 8 * 2**20


def test_other_variants_have_none() -> None:
    assert embedded_weights("sam2.1_hiera_t") is None


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = bytearray((FOLDER / "sam2.1_nano.safetensors").read_bytes())
    held[-1] ^= 1
    (tmp_path / "sam2.1_nano.safetensors").write_bytes(held)
    (tmp_path / "sam2.1_nano.sha256").write_text((FOLDER / "sam2.1_nano.sha256").read_text())
    monkeypatch.setattr(embedded, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="Install the package again"):
        embedded_weights("sam2.1_nano")
