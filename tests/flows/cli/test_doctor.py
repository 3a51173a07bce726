"""`labeling doctor`: findings about this machine."""

import os
from pathlib import Path

import pytest

from flows.cli.doctor import check_sam2, examine


def test_sam2_is_of_this_package_alone() -> None:
    assert check_sam2().ok


def test_what_is_in_the_way_of_scratch_is_named_with_a_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "file"))
    finding = next(finding for finding in examine() if finding.name == "scratch")
    assert not finding.ok
    assert finding.found == f"{tmp_path / 'file' / f'samurai-labeling-{os.getuid()}'}: Not a directory"
    assert finding.fix == "set TMPDIR or run.scratch to a folder that this user can write to"


@pytest.mark.parametrize("name", ["SAM-2", "sam2"])
def test_the_released_distribution_beside_ours_is_seen(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = check_sam2()
    assert not finding.ok
    assert finding.found == f"{name} 1.0 in the same environment"
    assert finding.fix.startswith(f"pip uninstall {name}, then install this package again")
