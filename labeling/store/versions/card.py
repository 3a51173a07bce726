"""A snapshot's card: what a dataset version holds, for people (README.md) and for programs (card.json), beside the snapshot.

The front matter is that of Hugging Face's dataset cards, so that an upload of the folder shows it as it is.
"""

import hashlib
import html
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from labeling.errors import DamagedStore
from labeling.objects import Objects
from labeling.store import layout
from labeling.store.contents import Contents, contents_between, ranges_of
from labeling.store.documents import plain, read_document, warned
from labeling.store.parquet import sha256_of_object
from labeling.store.snapshots import Snapshot, list_versions, read_contents, read_files, read_snapshot
from labeling.types import JsonObject

log = logging.getLogger(__name__)
T = TypeVar("T")

_SUMS = (
    "`data` is that of the lines that `sha256sum` prints for all data files, by name; each file's own is in `files.parquet`."
)
_SUMS_OF_PARTS = (
    "Each is that of the lines that `sha256sum` prints for the table's parts, in the snapshot's order; those of `files` have "
    "each data file's own."
)
CARD, README = "card.json", "README.md"
_MADE_BY = (
    "model", "checkpoint_sha256", "tracker", "precision", "image_size", "direction", "semantics_version", "code_version",
)
_PROMISED = ("sentence", "promise", "error", "confidence", "bound", "threshold", "made_at", "sha256")
_SIZES = {"1K": 10**3, "10K": 10**4, "100K": 10**5, "1M": 10**6, "10M": 10**7, "100M": 10**8, "1B": 10**9}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card counts, so that one version's are those of another, less what went, and what came.

    `made_by` has the values of `_MADE_BY` in JSON; `files` has (table, what) for files, rows and bytes.
    """

    seconds: float = 0.0
    frames: int = 0
    categories: Mapping[str, int] = field(default_factory=dict)
    made_by: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def moved(self, went: "CardFacts", came: "CardFacts") -> "CardFacts":
        """Return these facts without `went` and with `came`."""
        counted = (_moved(getattr(self, n), getattr(went, n), getattr(came, n)) for n in ("categories", "made_by", "files"))
        seconds = round(self.seconds - went.seconds + came.seconds, 6)
        return CardFacts(seconds, self.frames - went.frames + came.frames, *counted)


def _moved(counts: Mapping[T, int], went: Mapping[T, int], came: Mapping[T, int]) -> dict[T, int]:
    left = Counter(counts)
    left.subtract(went)
    left.update(came)
    return {name: count for name, count in left.items() if count}


def facts_of(contents: Contents) -> CardFacts:
    """Count what a card says of some videos, or of all; a video must be there whole."""
    probed = contents.videos.group_by("video_id").aggregate([("duration_seconds", "max"), ("num_frames", "max")])
    made_by = contents.tracks.group_by(list(_MADE_BY), use_threads=False).aggregate([([], "count_all")]).to_pylist()
    files = contents.files.group_by("table").aggregate([("file", "count"), ("rows", "sum"), ("num_bytes", "sum")]).to_pylist()
    columns = {"files": "file_count", "rows": "rows_sum", "num_bytes": "num_bytes_sum"}
    return CardFacts(
        seconds=round(pc.sum(probed["duration_seconds_max"]).as_py() or 0.0, 6),
        frames=pc.sum(probed["num_frames_max"]).as_py() or 0,
        categories={p["values"]: p["counts"] for p in pc.value_counts(contents.tracks["category"].fill_null("")).to_pylist()},
        made_by={json.dumps([row[name] for name in _MADE_BY]): row["count_all"] for row in made_by},
        files={(row["table"], what): row[column] for row in files for what, column in columns.items()},
    )


def facts_in_card(objects: Objects, snapshot: Snapshot) -> CardFacts | None:
    """Return what the card of a version counts; None where it has no card, or one that is not as it was written."""
    try:
        return read_document(objects, f"{layout.snapshot_folder(snapshot.version)}{CARD}", _facts)
    except (DamagedStore, FileNotFoundError):
        return None


def _facts(document: object) -> CardFacts:
    card = plain(document, dict, "card")
    made_by = {json.dumps([row[name] for name in _MADE_BY]): plain(row["tracks"], int, "tracks") for row in card["made_by"]}
    tables = plain(card["files"], dict[str, dict[str, int]], "files")
    return CardFacts(
        plain(card["seconds"], float, "seconds"), plain(card["frames"], int, "frames"),
        plain(card["categories"], dict[str, int], "categories"), made_by,
        {(table, what): count for table, counts in tables.items() for what, count in counts.items()},
    )


def read_facts(objects: Objects, snapshot: Snapshot) -> CardFacts:
    """Count what the card of a version says, a part of its videos at a time."""
    if not snapshot.in_parts:
        return facts_of(read_contents(objects, snapshot))
    facts = CardFacts()
    for first, stop in ranges_of(snapshot.parts):
        facts = facts.moved(CardFacts(), facts_of(contents_between(objects, snapshot.parts, first, stop)))
    return facts


def write_card(objects: Objects, snapshot: Snapshot, facts: CardFacts | None = None) -> JsonObject:
    """Put card.json and README.md beside a snapshot and return what card.json says; `facts` are counted where not given."""
    card = card_of(objects, snapshot, facts)
    beside = layout.snapshot_folder(snapshot.version)
    objects.put(f"{beside}{CARD}", json.dumps(card, indent=1, sort_keys=True).encode())
    objects.put(f"{beside}{README}", card_text(card).encode())
    return card


def mend_cards(objects: Objects) -> None:
    """Write the cards that are missing, as a publisher leaves them that was killed after its commit, or that are no JSON."""
    stored = {stat.key for stat in objects.list(layout.SNAPSHOTS) if stat.num_bytes}
    versions = list_versions(objects)
    for version in versions:
        keys = {f"{layout.snapshot_folder(version)}{name}" for name in (CARD, README)}
        # The newest card alone is read; of the others a look at the listing has to do, or every publish would read them all.
        if keys <= stored and (version != versions[-1] or _is_card(objects, f"{layout.snapshot_folder(version)}{CARD}")):
            continue
        try:
            snapshot = read_snapshot(objects, version)
            write_card(objects, snapshot)
            log.info("the card of %s was missing or damaged, and is written", snapshot.name)
        except DamagedStore as error:
            warned(error)


def _is_card(objects: Objects, key: str) -> bool:
    try:
        read_document(objects, key, lambda card: plain(plain(card, dict, "card")["counts"], dict, "counts"))
    except (DamagedStore, FileNotFoundError):
        return False
    return True


def card_of(objects: Objects, snapshot: Snapshot, facts: CardFacts | None = None) -> JsonObject:
    """Return a card as plain values; `facts` are counted where not given."""
    facts = facts or read_facts(objects, snapshot)
    made_by = sorted(facts.made_by.items(), key=lambda made: (-made[1], made[0]))
    return {
        "name": PurePosixPath(objects.root).name, "snapshot": snapshot.name, "parent": snapshot.parent,
        "created_at": snapshot.created_at, "run_id": snapshot.run_id, "note": snapshot.note,
        "written_by": snapshot.written_by, "storage_version": snapshot.storage_version,
        "counts": dict(snapshot.counts), "qc": dict(snapshot.qc),
        "hours": round(facts.seconds / 3600, 4), "seconds": facts.seconds,
        "frames": facts.frames,
        "categories": dict(sorted(facts.categories.items(), key=lambda item: (-item[1], item[0]))),
        "made_by": [dict(zip(_MADE_BY, json.loads(names), strict=True)) | {"tracks": count} for names, count in made_by],
        "certificate": _certificate(objects, snapshot),
        "files": _files(facts.files),
        "checksums": _checksums(objects, snapshot),
    }


def _checksums(objects: Objects, snapshot: Snapshot) -> dict[str, str]:
    if snapshot.in_parts:
        return {table: _sum_of((part.sha256, part.file) for part in parts) for table, parts in snapshot.parts.items()}
    keys = (snapshot.files, snapshot.tracks, snapshot.videos, snapshot.verdicts)
    return {"data": data_checksum(read_files(objects, snapshot)), **{key: sha256_of_object(objects, key) for key in keys}}


def _certificate(objects: Objects, snapshot: Snapshot) -> JsonObject | None:
    """What is promised of the accepted masklets, in short; `certificate.json` beside the snapshot says all of it."""
    try:
        return read_document(objects, layout.certificate(snapshot.version), _in_short)
    except FileNotFoundError:
        return None


def _in_short(document: object) -> JsonObject:
    certificate = plain(document, dict, "certificate")
    return {name: certificate[name] for name in _PROMISED}


def data_checksum(files: pa.Table) -> str:
    """Return one SHA-256 for all data files: that of the lines that `sha256sum` prints for them, by name."""
    return _sum_of(zip(files["sha256"].to_pylist(), files["file"].to_pylist(), strict=True))


def _sum_of(lines: Iterable[tuple[str, str]]) -> str:
    return hashlib.sha256("".join(f"{sha256}  {file}\n" for sha256, file in lines).encode()).hexdigest()


def _files(counted: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    tables = sorted({table for table, _ in counted})
    return {table: {what: counted.get((table, what), 0) for what in ("files", "rows", "num_bytes")} for table in tables}


def card_text(card: JsonObject) -> str:
    """Return a card as Markdown with front matter."""
    counts, name = card["counts"], f"{card['name']} {card['snapshot']}"
    verdicts = ", ".join(f"{counts.get(v, 0):,} {v}" for v in ("accept", "review", "reject"))
    facts = {
        "videos": f"{counts['videos']:,} ({card['hours']:.2f} hours, {card['frames']:,} frames)",
        "masklets": f"{counts['tracks']:,}: {verdicts}; {counts['decided']:,} decided by people",
        "masks": f"{counts['masks']:,}, of which {counts['visible_masks']:,} show the object",
        "made": f"{card['created_at']} by run {card['run_id']}" + (f" ({_plain(card['note'])})" if card["note"] else ""),
        "written by": f"{card['written_by']}, storage version {card['storage_version']}",
    }
    categories = {_plain(name) or "(none)": f"{count:,}" for name, count in card["categories"].items()}
    parts = [
        _front_matter(name, counts["masks"]),
        f"# {_plain(name)}\n",
        "Masklets: every prompted object followed through its video, masks as COCO run lengths in Parquet.\n",
        _table("what", "how many", facts),
        "## Categories\n\n" + _table("category", "masklets", categories),
        "## Made by\n\n" + _made_by_table(card["made_by"]),
        _promise(card.get("certificate")),
        f"## Judged by\n\nRules `{card['qc'].get('name', '')}`:\n\n" + _rules(card["qc"].get("rules") or []),
        "## Files\n\n" + _table("table", "files, rows, bytes", {k: _file_cell(v) for k, v in card["files"].items()}),
        f"## Checksums (SHA-256)\n\n{_SUMS if 'data' in card['checksums'] else _SUMS_OF_PARTS}\n\n"
        + _table("of", "sum", {k: f"`{v}`" for k, v in card["checksums"].items()}),
    ]
    return "\n".join(parts)


def _promise(certificate: JsonObject | None) -> str:
    if certificate is None:
        return "## Certificate\n\nNothing is promised of the accepted masklets.\n"
    facts = {
        "at most bad": f"{100 * certificate['bound']:.2f} %", "made": str(certificate["made_at"]),
        "SHA-256": f"`{certificate['sha256']}`",
    }
    return f"## Certificate\n\n{certificate['sentence']} `certificate.json` says it in full.\n\n" + _table("what", "is", facts)


def _front_matter(name: str, num_masks: int) -> str:
    reached = [name for name, size in _SIZES.items() if num_masks >= size]
    ahead = [name for name, size in _SIZES.items() if num_masks < size]
    bounds = f"{reached[-1]}<n<{ahead[0]}" if reached and ahead else f"n<{ahead[0]}" if ahead else f"n>{reached[-1]}"
    lines = [
        "---", f"pretty_name: {json.dumps(name)}", "task_categories:", "- mask-generation", "- image-segmentation",
        "tags:", "- video", "- masklets", "- parquet", "size_categories:", f"- {bounds}", "---", "",
    ]
    return "\n".join(lines)


def _table(first: str, second: str, rows: Mapping[str, str]) -> str:
    cells = [(first, second), ("---", "---"), *rows.items()]
    return "".join(f"| {_cell(a)} | {_cell(b)} |\n" for a, b in cells)


def _plain(text: str) -> str:
    """Text that somebody else chose, so that Markdown and the HTML in it show it as it is."""
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return re.sub(r"([\\`*\[\]])", r"\\\1", html.escape(shown, quote=False))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _file_cell(counted: Mapping[str, int]) -> str:
    return f"{counted['files']:,} files, {counted['rows']:,} rows, {counted['num_bytes']:,} bytes"


def _made_by_table(makers: list[JsonObject]) -> str:
    rows = {
        f"{m['model']} (`{m['checkpoint_sha256'][:16]}`), {m['tracker']}, {m['precision']} at {m['image_size']}, "
        f"{m['direction']}, semantics {m['semantics_version']}, code {m['code_version']}": f"{m['tracks']:,}"
        for m in makers
    }
    return _table("network", "masklets", rows)


def _rules(rules: list[JsonObject]) -> str:
    return "".join(
        f"- `{r['reason']}`: {r['signal']} {str(r['bound']).replace('_', ' ')} {r['review']}, rejected past {r['reject']}\n"
        for r in rules
    )
