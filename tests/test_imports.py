"""The rooms stand in a row: imports go left only, checked from the source itself."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
ROOMS = ["ingest", "track", "qc", "store", "review", "export"]
LEAVES = {"types", "rle", "config", "errors", "files", "objects", "jf", "logs", "metrics", "process", "redact"}


def imported_by(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def sources(folder: str) -> list[Path]:
    return sorted((TOP / folder).rglob("*.py"))


def room_of(module: str) -> str | None:
    """The part of `labeling` that a module belongs to, or None elsewhere."""
    parts = module.split(".")
    return parts[1] if parts[0] == "labeling" and len(parts) > 1 else None


def allowed_in(room: str) -> set[str]:
    if room in ROOMS:
        return LEAVES | set(ROOMS[: ROOMS.index(room) + 1])
    return LEAVES | {room}


@pytest.mark.parametrize("path", sources("labeling"), ids=lambda p: str(p.relative_to(TOP)))
def test_imports_go_left_only(path: Path) -> None:
    parts = path.relative_to(TOP / "labeling").parts
    room = parts[0].removesuffix(".py") if len(parts) == 1 else parts[0]
    for module in imported_by(path):
        assert not module.startswith("flows"), f"{path} imports {module}: nothing imports flows"
        if module.startswith("sam2"):
            # One decoder reads videos for both packages; sam2.video's part of it needs no torch.
            reads_video = room == "ingest" and module.startswith("sam2.video.")
            assert room == "track" or reads_video, f"{path} imports {module}: only track imports sam2, ingest sam2.video"
        target = room_of(module)
        if target is not None:
            # `objects_s3` is the other half of the leaf `objects`.
            assert target.split("_")[0] in allowed_in(room.split("_")[0]), f"{path} imports {module}"


@pytest.mark.parametrize("path", sources("sam2"), ids=lambda p: str(p.relative_to(TOP)))
def test_sam2_imports_nothing_of_ours(path: Path) -> None:
    for module in imported_by(path):
        assert module.split(".")[0] not in ("labeling", "flows"), f"{path} imports {module}"


def test_every_room_is_there() -> None:
    rooms = {p.name for p in (TOP / "labeling").iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert rooms == {*ROOMS, "pool"}


def test_source_is_ascii() -> None:
    for folder in ("labeling", "flows", "sam2", "tests"):
        for path in sources(folder):
            assert path.read_bytes().isascii(), f"{path} holds a character beyond ASCII"


def test_reading_videos_needs_no_torch() -> None:
    """Actors, the driver and the review page read videos before, or without ever, loading a network."""
    rooms = "labeling.ingest.decode, labeling.ingest.probe, sam2.video.decoder"
    script = f"import sys, {rooms}; print([name for name in ('torch', 'PIL') if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=TOP)
    assert shown.stdout.strip() == "[]"
