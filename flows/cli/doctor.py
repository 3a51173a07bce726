"""`labeling doctor`: what works on this machine, and the fix for what does not."""

import dataclasses
import json
import os
import shutil
import socket
import tempfile
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.arguments import AsJson
from flows.cli.console import console, escape
from flows.configure import config_folder, load_config
from labeling.config import default_scratch
from labeling.objects import open_objects

commands = typer.Typer(rich_markup_mode="markdown")


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found; `fix` is said where something is missing, `needed` where nothing runs without it."""

    name: str
    ok: bool
    found: str
    fix: str = ""
    needed: bool = True


# What a check that breaks means, where that is known.
_FIXES = {
    "ray": "start the cluster that RAY_ADDRESS names, or unset it",
    "prefect": "start the server that PREFECT_API_URL names, or unset it",
    "scratch": "set TMPDIR or run.scratch to a folder that this user can write to",
    "store": "give this user the right to write there, or another root",
    "configs": "install the package again",
}
_TITLES = {"ray": "Ray", "prefect": "Prefect", "gpu": "GPU", "configs": "configuration", "s3_settings": "S3"}


@commands.command()
def doctor(
    store: Annotated[str | None, typer.Option(help="A store root to try: a folder or s3://...")] = None,
    as_json: AsJson = False,
) -> None:
    """Check this machine and name the fix for what does not work."""
    raise typer.Exit(render(examine(store), console, as_json=as_json))


def examine(root: str | None = None) -> list[Check]:
    """Run every check; `root` adds one of that store's place."""
    checks: list[Callable[[], Check]] = [
        check_packages, check_sam2, check_configs, check_gpu, check_codecs, check_ray, check_prefect, check_scratch,
        check_shared_memory, check_s3_settings,
    ]
    findings = [_guarded(check) for check in checks]
    return findings + ([_guarded(lambda: check_store(root))] if root else [])


def _guarded(check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:   # a check that breaks is a finding, never the end of the examination
        name = getattr(check, "__name__", "store").removeprefix("check_").replace("<lambda>", "store")
        told = f"{type(error).__name__}: {error}"
        if isinstance(error, OSError) and error.filename is not None:
            told = f"{error.filename}: {error.strerror}"
        return Check(_TITLES.get(name, name), False, told, _FIXES.get(name, "see the message"))


def check_packages() -> Check:
    """Versions of what the pipeline stands on."""
    names = ("torch", "av", "ray", "prefect", "pyarrow", "boto3", "pycocotools")
    found, missing = [], []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    return Check("packages", not missing, ", ".join(found), f"pip install {' '.join(missing)}" if missing else "")


def check_sam2() -> Check:
    """No other distribution has put its files into the folder `sam2`: pip would mix them with ours."""
    others = []
    for name in ("SAM-2", "sam2"):
        try:
            others.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    if others:
        fix = f"pip uninstall {' '.join(other.split()[0] for other in others)}, then install this package again: both own sam2/"
        return Check("sam2", False, f"{', '.join(others)} in the same environment", fix)
    return Check("sam2", True, "of this package alone")


def check_configs() -> Check:
    """The YAML files compose."""
    load_config()
    return Check("configuration", True, str(config_folder()))


def check_gpu() -> Check:
    """A CUDA device that torch can use."""
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Check("GPU", True, ", ".join(names))
    fix = "install an NVIDIA driver that fits this torch build; without one, use model=nano or a smaller model.image_size"
    return Check("GPU", False, f"none that torch {torch.__version__} can use; {os.cpu_count()} CPU cores", fix, needed=False)


def check_codecs() -> Check:
    """Decoders for what buckets hold, and the encoder of previews."""
    import av

    wanted = {"h264": "r", "hevc": "r", "vp9": "r", "av1": "r", "mpeg4": "r", "libx264": "w"}
    missing = [name for name, mode in wanted.items() if not _has_codec(av, name, mode)]
    found = f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}"
    fix = f"no {', '.join(missing)}: install the PyAV wheel from PyPI, not a distribution's build" if missing else ""
    return Check("codecs", not missing, found, fix)


def _has_codec(av: object, name: str, mode: str) -> bool:
    try:
        av.codec.Codec(name, mode)  # type: ignore[attr-defined]
    except ValueError:
        return False
    return True


def check_ray() -> Check:
    """Ray can be imported, and its address answers if one is set."""
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        return Check("Ray", True, f"{version('ray')}, started in process for each run")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=3):
        pass
    token = os.environ.get("RAY_AUTH_MODE") == "token"
    fix = "" if token else "export RAY_AUTH_MODE=token on head, workers and driver: Ray 2.60 refuses connections without"
    return Check("Ray", True, f"{version('ray')}, RAY_ADDRESS={address} answers", fix)


def check_prefect() -> Check:
    """Which Prefect server runs will report to."""
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return Check("Prefect", True, f"{version('prefect')}, a server of its own for each run")
    with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
        return Check("Prefect", answer.status == 200, f"{version('prefect')}, {url} answers {answer.status}")


def check_scratch() -> Check:
    """Room for downloads."""
    folder = Path(default_scratch())
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        free_gib = shutil.disk_usage(folder).free / 2**30
    fix = "" if free_gib > 5 else "set run.scratch to a disk with room"
    return Check("scratch", not fix, f"{folder}: {free_gib:.0f} GiB free", fix)


def check_shared_memory() -> Check:
    """Ray's object store lives in /dev/shm; a small one kills workers."""
    if not Path("/dev/shm").is_dir():
        return Check("shared memory", True, "no /dev/shm on this system", needed=False)
    total_gib = shutil.disk_usage("/dev/shm").total / 2**30
    fix = "" if total_gib >= 0.25 else "run the container with --shm-size=1g"
    return Check("shared memory", not fix, f"/dev/shm {total_gib:.1f} GiB", fix)


def check_s3_settings() -> Check:
    """Credentials that boto3 finds; nothing is asked of S3."""
    import boto3

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS"
    if boto3.Session().get_credentials() is None:
        fix = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile, if you use s3:// URIs"
        return Check("S3", False, f"no credentials; endpoint {endpoint}", fix, needed=False)
    return Check("S3", True, f"credentials found; endpoint {endpoint}; `labeling doctor --store s3://...` tries a bucket")


def check_store(root: str) -> Check:
    """A store's place can be listed, written conditionally, read and cleaned."""
    with _trial_place(root) as place:
        objects, key = open_objects(place), f"locks/doctor-{uuid.uuid4().hex}"
        try:
            first, second = objects.put_if_absent(key, b"1"), objects.put_if_absent(key, b"2")
            read = objects.get(key)
        finally:
            objects.delete(key)
    ok = first and not second and read == b"1"
    return Check("store", ok, f"{root}: written, read, removed", "" if ok else "this server does not honour If-None-Match: *")


@contextmanager
def _trial_place(root: str) -> Iterator[str]:
    """Give a place where nothing is left behind: for a folder, one of its own in it or where it would be made."""
    folder = open_objects(root).root
    if folder.startswith("s3://"):
        yield folder
        return
    there = next(path for path in (Path(folder), *Path(folder).parents) if path.exists())
    with tempfile.TemporaryDirectory(prefix=".~doctor-", dir=there) as place:
        yield place


def render(findings: list[Check], console: Console, *, as_json: bool = False) -> int:
    """Print the findings; returns 0, or 4 where something needed does not work."""
    if as_json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1))
        return 4 if any(f.needed and not f.ok for f in findings) else 0
    table = Table("", "what", "found", "fix", box=None)
    for f in findings:
        mark = "[green]ok[/]" if f.ok else ("[red]no[/]" if f.needed else "[yellow]--[/]")
        table.add_row(mark, escape(f.name), escape(f.found), escape(f.fix))
    console.print(table)
    return 4 if any(f.needed and not f.ok for f in findings) else 0
