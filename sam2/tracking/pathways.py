"""Walk several paths of each object through a video, all paths of all objects in one batch.

A frame's answer is final once all of an object's paths go back to one entry on it, at the video's end at the latest; frames
come in order, each when it is final for all objects.

Legend: P paths of all objects on a frame, M candidate masks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from sam2.modeling.sam2_base import ImageFeatures, SAM2Base
from sam2.tracking.memory_bank import FrameEntry, Vantage
from sam2.tracking.policies import sam2long
from sam2.tracking.reach import readable
from sam2.tracking.released_methods import features_of, steps_replaced
from sam2.tracking.state import VideoState
from sam2.tracking.step import decide, offer
from sam2.tracking.track import ObjectTrack, forget


@dataclass(frozen=True, slots=True)
class Pathway:
    """One of an object's answers: the sum of its scores, the entries it looks back at, and its entries not yet final."""

    total: float = 0.0
    others: Mapping[int, FrameEntry] = field(default_factory=dict)
    open: Mapping[int, FrameEntry] = field(default_factory=dict)


Paths: TypeAlias = dict[int, tuple[Pathway, ...]]           # by object
Ready: TypeAlias = dict[int, dict[int, FrameEntry]]         # by object and frame: final, and not yet given out


def follow_paths(
    network: SAM2Base, state: VideoState, tracks: Mapping[int, ObjectTrack], joins: Callable[[int, int], bool],
    order: Iterable[int], *, reverse: bool,
) -> Iterator[tuple[int, Mapping[int, ObjectTrack], list[FrameEntry]]]:
    """Yield each frame with its objects and their entries, once these are final; `joins` says whether one is tracked there.

    Raises ValueError for frames that are handed over one by one, and for steps that a subclass replaces.
    """
    _check(network, state)
    paths = {obj_id: (_known(track),) for obj_id, track in tracks.items()}
    waiting: list[tuple[int, list[int]]] = []
    ready: Ready = {obj_id: {} for obj_id in tracks}
    for frame_idx in order:
        alive = {obj_id: track for obj_id, track in tracks.items() if state.tracks.get(obj_id) is track}
        if not alive:
            return
        joined = {obj_id: track for obj_id, track in alive.items() if joins(obj_id, frame_idx)}
        free = {obj_id: track for obj_id, track in joined.items() if frame_idx not in track.conditioning}
        if free:
            features = features_of(network, state, frame_idx)
            paths |= _walk(network, state, features, free, paths, Vantage(frame_idx, reverse, state.known_length))
        for obj_id in joined.keys() - free.keys():
            ready[obj_id][frame_idx] = joined[obj_id].conditioning[frame_idx]
        waiting = [(t, [obj_id for obj_id in ids if obj_id in alive]) for t, ids in [*waiting, (frame_idx, list(joined))]]
        paths = _take_final(paths, ready, ended=False)
        yield from _answers(network, state, tracks, waiting, ready, reverse=reverse)
    best = {obj_id: max(of_object, key=lambda path: path.total) for obj_id, of_object in paths.items()}
    _take_final(paths, ready, ended=True)
    yield from _answers(network, state, tracks, waiting, ready, reverse=reverse)
    for obj_id, track in tracks.items():
        track.others.update(best[obj_id].others)


def _check(network: SAM2Base, state: VideoState) -> None:
    if state.one_pass:
        raise ValueError(
            "sam2long follows several answers and knows the right one at the end of the video, and frames that are handed over "
            "one by one want theirs at once: pass a folder, a file or a list of frames, or choose another memory_policy"
        )
    if steps_replaced(network):
        raise ValueError("sam2long steps several answers at once, which a subclass's own steps cannot: use memory_policy=sam2")


def _known(track: ObjectTrack) -> Pathway:
    """Return the path of what is known of an object so far."""
    return Pathway(0.0, {t: entry for t, entry in track.others.items() if entry.memory_1Dhw is not None})


def _walk(
    network: SAM2Base, state: VideoState, features: ImageFeatures, tracks: Mapping[int, ObjectTrack], paths: Paths,
    vantage: Vantage,
) -> Paths:
    """Return the paths of these objects after a frame on which none of them is prompted."""
    config = network.config
    rows = [(obj_id, path) for obj_id in tracks for path in paths[obj_id]]
    read = [readable(state, tracks[obj_id], vantage, path.others) for obj_id, path in rows]
    lookbacks = [sam2long.look_back(conditioning, others, vantage, config) for conditioning, others in read]
    decoded = offer(network, features, lookbacks)
    iou_PM, score_P = decoded.predicted_iou_BM.float().tolist(), decoded.object_score_logits_B1[:, 0].float().tolist()
    kept: list[tuple[int, int, float]] = []
    owners: list[int] = []
    first = 0
    for obj_id in tracks:
        last = first + len(paths[obj_id])
        mine = sam2long.branches([path.total for _, path in rows[first:last]], iou_PM[first:last], score_P[first:last], config)
        kept += [(first + path, candidate, total) for path, candidate, total in mine]
        owners += [obj_id] * len(mine)
        first = last
    entries = decide(network, features, decoded, [path for path, _, _ in kept], [candidate for _, candidate, _ in kept])
    grown: dict[int, list[Pathway]] = {obj_id: [] for obj_id in tracks}
    for obj_id, (row, _, total), entry in zip(owners, kept, entries, strict=True):
        stored = replace(entry, reverse=vantage.reverse).stored_on(state.storage_device)
        grown[obj_id].append(_grown(rows[row][1], stored, total, vantage, network, whole=not state.windowed))
    return {obj_id: tuple(of_object) for obj_id, of_object in grown.items()}


def _grown(
    path: Pathway, entry: FrameEntry, total: float, vantage: Vantage, network: SAM2Base, *, whole: bool
) -> Pathway:
    others = {**path.others, vantage.frame_idx: entry}
    kept = sam2long.kept_maps(others, vantage, network.config)
    answer = entry if whole else replace(entry, memory_1Dhw=None)
    return Pathway(total, {t: e for t, e in others.items() if t in kept}, {**path.open, vantage.frame_idx: answer})


def _take_final(paths: Paths, ready: Ready, *, ended: bool) -> Paths:
    """Move what is final of each object to `ready`: what no path disagrees on, at the end all of the best path."""
    rest = {}
    for obj_id, of_object in paths.items():
        final = _final(of_object, ended=ended)
        ready[obj_id] |= final
        rest[obj_id] = tuple(replace(p, open={t: e for t, e in p.open.items() if t not in final}) for p in of_object)
    return rest


def _final(paths: Sequence[Pathway], *, ended: bool) -> dict[int, FrameEntry]:
    best = max(paths, key=lambda path: path.total)
    if ended:
        return dict(best.open)
    final = {}
    for frame_idx, entry in best.open.items():
        # entries of one branch share their scores, whatever became of their maps
        if any(path.open[frame_idx].scores_K is not entry.scores_K for path in paths):
            break
        final[frame_idx] = entry
    return final


def _answers(
    network: SAM2Base, state: VideoState, tracks: Mapping[int, ObjectTrack], waiting: list[tuple[int, list[int]]], ready: Ready,
    *, reverse: bool,
) -> Iterator[tuple[int, Mapping[int, ObjectTrack], list[FrameEntry]]]:
    """Yield the first of the waiting frames as far as each object's entry is there, and write these to the tracks."""
    while waiting and all(waiting[0][0] in ready[obj_id] for obj_id in waiting[0][1]):
        frame_idx, obj_ids = waiting.pop(0)
        mine = {obj_id: tracks[obj_id] for obj_id in obj_ids}
        entries = [ready[obj_id].pop(frame_idx) for obj_id in obj_ids]
        for track, entry in zip(mine.values(), entries, strict=True):
            track.tracked[frame_idx], track.newest = reverse, frame_idx
            if frame_idx not in track.conditioning:
                track.others[frame_idx] = entry
            if state.windowed:
                forget(track, Vantage(frame_idx, reverse, state.known_length), network.config)
        if mine:
            yield frame_idx, mine, entries
