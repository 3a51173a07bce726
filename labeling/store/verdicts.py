"""Verdicts at publish: stored signals go through the rules; containment is measured from stored masks where it must be.

A video's containment is measured only when it has two objects or more and its current rows changed; else what the parent
snapshot has is taken over. What a person decided of a version stands until that object has a newer one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from labeling.config import QCConfig
from labeling.objects import Objects, map_objects
from labeling.qc.containment import Overlap, containment, pair_signals
from labeling.qc.judge import Opinion
from labeling.qc.reasons import UNUSUAL, WRONG_SEED
from labeling.qc.rules import judge
from labeling.store import schemas
from labeling.store.judges import Judges
from labeling.store.reader import read_mask_rows, rles_by_frame
from labeling.store.records import flags_to_cells, signals_from_row
from labeling.types import HELD, Decision, ReviewDecision, TableRow, Verdict

Track = tuple[str, str, int]  # video_id, track_id, label_version
NOVEL_SHARE = 0.15  # of the queue's places
REVIEW = Decision.REVIEW.value


@dataclass(frozen=True, slots=True)
class HumanVerdict:
    """What a person decided of one version: it stands above the rules."""

    verdict: str
    decided_by: str
    decided_at: str


def human_verdicts_of(decisions: Iterable[ReviewDecision]) -> dict[Track, HumanVerdict]:
    """Return accepts and rejects by track, the latest for each; a correction says nothing until it is tracked."""
    settling = sorted((d for d in decisions if d.action != "correct"), key=lambda d: d.decided_at)
    return {
        (d.video_id, d.track_id, d.label_version): HumanVerdict(Decision(d.action), d.reviewer, d.decided_at) for d in settling
    }


def human_verdicts_in(verdicts: pa.Table) -> dict[Track, HumanVerdict]:
    """Return what people decided by the rows of `verdicts`."""
    rows = verdicts.filter(pc.is_valid(verdicts["decided_by"])).to_pylist()
    return {_track(row): HumanVerdict(row["verdict"], row["decided_by"], row["decided_at"]) for row in rows}


def with_human_verdicts(verdicts: pa.Table, human: Mapping[Track, HumanVerdict]) -> pa.Table:
    """Return rows of `verdicts` with what people decided put above what the rules, or people before, did."""
    rows = verdicts.select(["video_id", "track_id", "label_version", "verdict", "decided_by", "decided_at"]).to_pylist()
    if not any(_track(row) in human for row in rows):
        return verdicts
    for row in rows:
        decided = human.get(_track(row))
        row |= asdict(decided) if decided else {}
    for name in ("verdict", "decided_by", "decided_at"):
        field = schemas.VERDICTS.field(name)
        index = verdicts.schema.get_field_index(name)
        verdicts = verdicts.set_column(index, field, pa.array([row[name] for row in rows], field.type))
    return verdicts


def overlaps_in(verdicts: pa.Table) -> dict[Track, Overlap]:
    """Return the containment that rows of `verdicts` hold."""
    measured = verdicts.filter(pc.is_valid(verdicts["overlap"]))
    names = ("video_id", "track_id", "label_version", "overlap", "overlap_track_id")
    others = ("overlap_first_frame_idx", "overlap_stop_frame_idx", "overlap_early", "overlap_late")
    columns = (measured[name].to_pylist() for name in (*names, *others))
    return {
        (video_id, track_id, version): Overlap(value, other, None if first is None else (first, stop), early, late)
        for video_id, track_id, version, value, other, first, stop, early, late in zip(*columns, strict=True)
    }


def measure_overlaps(objects: Objects, tracks: Sequence[TableRow]) -> dict[Track, Overlap]:
    """Measure containment among the current tracks of each video that has two or more, from their stored masks."""
    by_video: dict[str, list[TableRow]] = defaultdict(list)
    for row in tracks:
        by_video[row["video_id"]].append(row)
    shared = [rows for rows in by_video.values() if len(rows) > 1]
    overlaps: dict[Track, Overlap] = {}
    for of_video in map_objects(objects, lambda rows: _overlaps_of_video(objects, rows), shared):
        overlaps |= of_video
    return overlaps


def judge_tracks(
    tracks: Iterable[TableRow],
    overlaps: Mapping[Track, Overlap],
    human: Mapping[Track, HumanVerdict],
    qc: QCConfig,
    judges: Judges,
) -> pa.Table:
    """Judge rows of `tracks` by their stored signals; returns rows of `verdicts` in the same order."""
    tracks = list(tracks)
    values = judged_values(tracks, overlaps)
    # What is held was not followed: there is nothing of it that a fitted judge knows.
    opinions = [None if t["direction"] == HELD else o for t, o in zip(tracks, judges.opinions(tracks, values), strict=True)]
    told = zip(tracks, values, opinions, strict=True)
    rows = [_row(t, of, overlaps.get(_track(t)), human.get(_track(t)), qc, opinion) for t, of, opinion in told]
    return pa.Table.from_pylist(rows, schema=schemas.VERDICTS)


def judged_values(tracks: Sequence[TableRow], overlaps: Mapping[Track, Overlap]) -> list[dict[str, float | None]]:
    """Return everything that rules and judges read of each masklet: its signals, and those of the pair with `Overlap.other`.

    `tracks` hold a video's masklets all or none: what overlaps with one that is not there cannot be compared with it.
    """
    signals = {(track["video_id"], track["track_id"]): signals_from_row(track).values for track in tracks}
    values = []
    for track in tracks:
        own, overlap = signals[track["video_id"], track["track_id"]], overlaps.get(_track(track))
        other = signals.get((track["video_id"], overlap.other)) if overlap and overlap.other else None
        values.append({**own, **pair_signals(overlap, own, other)})
    return values


def was_doubted(verdict: TableRow) -> bool:
    """Return whether a row of `verdicts` had doubts before people saw it, whatever they said; the most novel have none."""
    return any(flag["decision"] == REVIEW and flag["reason"] != UNUSUAL for flag in verdict["flags"])


def novel_places(doubted: int) -> int:
    """Return how many of the most novel of the accepted masklets are sent to review where so many are in doubt: 15 % of all."""
    return max(1, round(doubted * NOVEL_SHARE / (1 - NOVEL_SHARE)))


def novelties(verdicts: pa.Table) -> list[tuple[float, int]]:
    """Return the novel masklets, the most novel first: how novel each is, and its row."""
    flags = enumerate(verdicts["flags"].to_pylist())
    rows = [row for row, of in flags if any(flag["reason"] == UNUSUAL for flag in of)]
    novelty = verdicts["novelty"].take(pa.array(rows, pa.int64())).to_pylist()
    return sorted(zip(novelty, rows, strict=True), key=lambda novel: -novel[0])


def with_novel(verdicts: pa.Table, places: int) -> pa.Table:
    """Send so many of the most novel masklets to review, and accept the other novel ones; what people decided stays."""
    novel = novelties(verdicts)
    if not novel:
        return verdicts
    verdict, decided_by = verdicts["verdict"].to_pylist(), verdicts["decided_by"].to_pylist()
    for place, (_, index) in enumerate(novel):
        if decided_by[index] is None:
            verdict[index] = Decision.REVIEW.value if place < places else Decision.ACCEPT.value
    at = verdicts.schema.get_field_index("verdict")
    field = schemas.VERDICTS.field("verdict")
    return verdicts.set_column(at, field, pa.array(verdict, field.type))


def _overlaps_of_video(objects: Objects, rows: Sequence[TableRow]) -> dict[Track, Overlap]:
    masks = {row["track_id"]: rles_by_frame(read_mask_rows(objects, row)) for row in rows}
    tracks = {row["track_id"]: _track(row) for row in rows}
    return {tracks[track_id]: overlap for track_id, overlap in containment(masks).items()}


def _row(
    track: TableRow, values: Mapping[str, float | None], overlap: Overlap | None, human: HumanVerdict | None, qc: QCConfig,
    opinion: Opinion | None,
) -> TableRow:
    signals = signals_from_row(track)
    span = overlap.frame_span if overlap else None
    verdict = judge(
        track["video_id"],
        track["track_id"],
        track["label_version"],
        values,
        {**signals.spans, **({"containment": span} if span else {})},
        (track["first_frame_idx"] or 0, (track["last_frame_idx"] or 0) + 1),
        qc,
        opinion,
    )
    if track["direction"] == HELD:
        verdict, decision = held_verdict(verdict), Decision.REVIEW
    else:
        decision = accepted_up_to(qc.accept_risk, verdict)
    ids = {name: track[name] for name in ("video_id", "track_id", "object_id", "label_version", "batch")}
    return ids | {
        "verdict": human.verdict if human else decision.value, "risk": verdict.risk,
        "flags": flags_to_cells(verdict.flags),
        "overlap": overlap.value if overlap else None, "overlap_track_id": overlap.other if overlap else None,
        "overlap_first_frame_idx": span[0] if span else None, "overlap_stop_frame_idx": span[1] if span else None,
        "decided_by": human.decided_by if human else None, "decided_at": human.decided_at if human else None,
        "judge": verdict.judge, "novelty": verdict.novelty,
        "overlap_early": overlap.early if overlap else None, "overlap_late": overlap.late if overlap else None,
    }


def accepted_up_to(accept_risk: float | None, verdict: Verdict) -> Decision:
    """What is decided where everything up to a risk is accepted, and nothing above it; the judge's own decision without one."""
    if accept_risk is None:
        return verdict.decision
    if verdict.risk <= accept_risk:
        return Decision.ACCEPT
    return Decision.REVIEW if verdict.decision is Decision.ACCEPT else verdict.decision


def held_verdict(verdict: Verdict) -> Verdict:
    """What is said of a first mask that is held: people look at it, and what speaks against its prompt is all that there is."""
    flags = tuple(replace(flag, decision=Decision.REVIEW) for flag in verdict.flags if flag.reason == WRONG_SEED)
    return replace(verdict, decision=Decision.REVIEW, flags=flags)


def _track(row: TableRow) -> Track:
    return row["video_id"], row["track_id"], row["label_version"]
