"""The rooms stand in a row: imports go left only, in no circle, and late only where that saves time; read from the source."""

import ast
import functools
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
ROOMS = ["ingest", "track", "qc", "store", "review", "imports", "certify", "export"]
LEAVES = {"types", "jobs", "rle", "config", "errors", "files", "geometry", "objects", "logs", "metrics"}
FLOWS = {"run", "cli", "learn", "quality", "bench", "demo", "stack"}
# What costs a process a third of a second or more, and so may wait until it is needed ...
SLOW = {
    "torch", "torchvision", "ray", "prefect", "matplotlib", "moto", "uvicorn", "transformers", "hydra", "pandas", "boto3",
    "botocore", "alembic", "sqlalchemy", "pyarrow", "av", "ultralytics",
}
# ... and what may be missing: extras of ours, and what `sam2` needs for some files alone.
EXTRAS = {"psutil", "sklearn", "huggingface_hub", "safetensors", "yaml"}
# Works beside a checkout of the released package and says itself what is not installed.
SCRIPT = "flows.bench.peer"
# The package's `main` is what the installed command calls; workers read settings by it and need no command line.
ENTRY = "flows.cli"
# A predictor is built by a released function that returns it, and has a released class method that calls that function.
RELEASED_CIRCLE = {"sam2.build_sam", "sam2.sam2_video_predictor"}


def sources(folder: str) -> list[Path]:
    return sorted((TOP / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(TOP).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for folder in ("labeling", "flows", "sam2") for path in sources(folder)}


def imports_below(node: ast.AST, *, late: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Every import below a node, and whether it waits for a call; those that type checkers alone read are left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, late
        elif not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield from imports_below(child, late=late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


@functools.cache
def imports_of(module: str) -> tuple[tuple[str, bool], ...]:
    """The full names that a module imports, each with whether it does so inside a function."""
    names: list[tuple[str, bool]] = []
    for node, late in imports_below(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            names += [(f"{node.module}.{alias.name}", late) for alias in node.names]
        else:
            names += [(alias.name, late) for alias in node.names]
    return tuple(names)


def our_module(name: str) -> str | None:
    """The module of ours that a full name is, or lies in; None for a package of others."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


@functools.cache
def is_slow(module: str) -> bool:
    """Whether loading a module of ours loads a package that takes its time, or that may be missing."""
    names = [name for name, late in imports_of(module) if not late]
    ours = {our_module(name) for name in names} - {None, module}
    return any(name.split(".")[0] in SLOW | EXTRAS for name in names) or any(is_slow(str(target)) for target in ours)


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
    for module, _ in imports_of(name_of(path)):
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
    for module, _ in imports_of(name_of(path)):
        assert module.split(".")[0] not in ("labeling", "flows"), f"{path} imports {module}"


def test_no_imports_go_in_a_circle() -> None:
    """Late ones neither: two modules that need each other are one, or lack a third."""
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for module in MODULES:
        for name, _ in imports_of(module):
            target = our_module(name)
            if target not in (None, module) and {module, target} != RELEASED_CIRCLE:
                graph[module].add(str(target))
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {SCRIPT, ENTRY}))
def test_an_import_inside_a_function_saves_time(module: str) -> None:
    for name, late in imports_of(module):
        target = our_module(name)
        slow = name.split(".")[0] in SLOW | EXTRAS if target is None else is_slow(target)
        assert not late or slow, f"{module} imports {name} inside a function; nothing is gained: move it to the top"


def test_every_room_is_there() -> None:
    for folder, rooms in (("labeling", {*ROOMS, "pool"}), ("flows", FLOWS)):
        assert {p.name for p in (TOP / folder).iterdir() if p.is_dir() and p.name != "__pycache__"} == rooms
    modules = {path.stem for path in (TOP / "labeling").glob("*.py")} - {"__init__"}
    assert {name.split("_")[0] for name in modules} == LEAVES


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


def test_the_command_starts_without_torch_ray_and_boto3() -> None:
    """What needs a network, a cluster or a bucket loads it when it is called; all other commands answer at once."""
    slow = "('torch', 'ray', 'boto3', 'prefect')"
    script = f"import sys; from flows.cli.app import *; [*map(command_named, COMMANDS)]; print(set({slow}) & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=TOP)
    assert shown.stdout.strip() == "set()"
