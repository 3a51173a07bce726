"""The layout of a store: the key of every object under its root is made here."""

import re

from labeling.errors import BadConfiguration

DATA_TABLES = ("videos", "tracks", "masks")
LOCK = "locks/run.json"
PENDING = "ledger/pending/"
SET_ASIDE = "ledger/set-aside/"
DEAD_VIDEOS = "dead/"
SNAPSHOTS = "snapshots/"
PARTS = "parts/"

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NAME = r"(?:[0-9a-f]{16}-[0-9a-f]{16}|packed-[0-9a-f]{16})\.parquet"
_DATA_FILE = re.compile(rf"(?:{'|'.join(DATA_TABLES)})/bucket=[0-9a-f]{{2}}/{_NAME}")
_PART = re.compile(r"parts/[a-z]+/[0-9a-f]{32}\.parquet")
_STAGED = re.compile(
    r"(?:snapshots/v(\d{6,})/(?:files|tracks|videos|verdicts/part-0)|ledger/compact-v(\d{6,}))(?:-[0-9a-f]{8})?\.parquet"
)
_SPLITS = re.compile(r"snapshots/v(\d{6,})/splits\.parquet")
_SNAPSHOT = re.compile(r"snapshots/v(\d{6,})\.json")


def check_run_id(run_id: str) -> str:
    """Return `run_id`, or raise a ValueError: it is a folder's name in the store."""
    if not _RUN_ID.fullmatch(run_id):
        raise BadConfiguration(f"run_id is {run_id!r}; expected letters, digits, '.', '_' and '-', a letter or digit first")
    return run_id


def is_run_file(key: str, name: str = "") -> bool:
    """Return whether a key lies in a run's folder, directly under `name` where that is given."""
    top, _, rest = key.removeprefix("runs/").partition("/")
    return key.startswith("runs/") and bool(rest) and _RUN_ID.fullmatch(top) is not None and (not name or rest == name)


def data_file(table: str, video_id: str, batch: str) -> str:
    """The file of `videos`, `tracks` or `masks` that holds a batch."""
    return f"{table}/bucket={video_id[:2]}/{video_id}-{batch}.parquet"


def marker(run_id: str, video_id: str, batch: str) -> str:
    """The done marker of a batch."""
    return f"{PENDING}{check_run_id(run_id)}/{video_id}-{batch}.json"


def dead_video(video_id: str) -> str:
    """What is noted of a video that failed with a verdict on itself."""
    return f"{DEAD_VIDEOS}{video_id}.json"


def set_aside(marker_key: str) -> str:
    """Where a marker goes that is not as it was written, or whose files are not."""
    return f"{SET_ASIDE}{marker_key.removeprefix(PENDING)}"


def files_of_marker(marker_key: str) -> list[str]:
    """Return the data files that a marker's key names, whatever is in it."""
    video_id, _, batch = marker_key.rpartition("/")[2].removesuffix(".json").partition("-")
    return [data_file(table, video_id, batch) for table in DATA_TABLES]


def compact(version: int) -> str:
    """The ledger up to a snapshot."""
    return f"ledger/compact-v{version:06d}.parquet"


def snapshot(version: int) -> str:
    """The object whose presence commits a snapshot."""
    return f"{SNAPSHOTS}v{version:06d}.json"


def snapshot_folder(version: int) -> str:
    """What lies beside a snapshot."""
    return f"{SNAPSHOTS}v{version:06d}/"


def certificate(version: int, ending: str = "json") -> str:
    """What is promised of a snapshot's accepted masklets, as `json`, and as a page, `html`."""
    return f"{snapshot_folder(version)}certificate.{ending}"


def splits(version: int) -> str:
    """Which side of a split each video of a snapshot is on."""
    return f"{snapshot_folder(version)}splits.parquet"


def splits_version(key: str) -> int | None:
    """The version that a table of splits was made for; None for another key."""
    match = _SPLITS.fullmatch(key)
    return int(match[1]) if match else None


def snapshot_version(key: str) -> int | None:
    """The version that a snapshot's key commits; None for another key."""
    match = _SNAPSHOT.fullmatch(key)
    return int(match[1]) if match else None


def staged_version(key: str) -> int | None:
    """The version that a table was staged for, under its name or one by content; None for a key that no publisher makes."""
    match = _STAGED.fullmatch(key)
    return int(match[1] or match[2]) if match else None


def run_folder(run_id: str) -> str:
    """What a run leaves for people: configuration, plan, dead letters, report."""
    return f"runs/{check_run_id(run_id)}/"


def packed_file(table: str, bucket: str, sha256: str) -> str:
    """A file of `videos`, `tracks` or `masks` that holds many batches, named by its content."""
    return f"{table}/bucket={bucket}/packed-{sha256[:16]}.parquet"


def bucket_of(file: str) -> str:
    """The bucket that a data file's key lies in."""
    return file.split("/")[1].removeprefix("bucket=")


def is_data_file(key: str) -> bool:
    """Return whether a key is one that this layout gives to data files."""
    return _DATA_FILE.fullmatch(key) is not None


def part(table: str, sha256: str) -> str:
    """A part of a snapshot's table, named by its content."""
    return f"{PARTS}{table}/{sha256[:32]}.parquet"


def is_part(key: str) -> bool:
    """Return whether a key is one that this layout gives to parts."""
    return _PART.fullmatch(key) is not None
