"""What happens to one video: fetch -> probe -> track -> measure -> write. The `Work` that actors are given.

The first two happen to the next video while this one is tracked.
"""

import copy
import logging
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from flows.run.prefetch import NextVideos, Opened
from flows.run.shared_root import SharedRoot, aws_settings, settle
from labeling import logs, rle
from labeling.config import LabelConfig, SeedCheck, default_scratch
from labeling.errors import BadInput, BadPrompt, record_of
from labeling.ingest.decode import FrameReader, sampled_frames
from labeling.ingest.fetch import fetch_video, process_folder, sweep_scratch
from labeling.ingest.probe import probe
from labeling.jobs import Job, Receipt
from labeling.objects import Objects, open_objects
from labeling.qc.rules import doubts_of_seed
from labeling.qc.signals import SignalMeter
from labeling.store.keys import held_key
from labeling.store.reader import read_mask_rows
from labeling.store.records import mask_from_row
from labeling.store.writer import BatchWriter, TrackRow
from labeling.track.correction import follow_within
from labeling.track.follow import Tracked, follow
from labeling.track.predictor import Predictor, TrackerRecipe, arithmetic, build_predictor, take_peak_gpu_bytes
from labeling.track.prompts import check_prompts
from labeling.track.seeds import Seed, look_at_seeds
from labeling.types import HELD, FrameMask, Prompt, PromptSource, Provenance, Signals, Video

log = logging.getLogger(__name__)
T = TypeVar("T")

WAIT_S = 300.0      # for room in scratch


@dataclass(slots=True)
class Stopwatch:
    """Seconds spent in each stage."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the block's time to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started


class LabelVideo:
    """Labels one video after another with one predictor; only settings travel to the actor, weights load there."""

    def __init__(self, config: LabelConfig, recipe: TrackerRecipe, run_id: str) -> None:
        self.config, self.recipe, self.run_id = seen_from_anywhere(config), recipe, run_id
        self.scratch = Path(self.config.run.scratch or default_scratch())
        # How the driver reaches S3: a worker may have been started before that was known, or elsewhere.
        self.aws = aws_settings()
        self.same_machine = not (config.cluster.address or os.environ.get("RAY_ADDRESS"))
        self.shared: SharedRoot | None = None
        self.device = ""
        self.coming: NextVideos | None = None
        self.predictor: Predictor | None = None
        self.store: Objects | None = None
        self.seeds: dict[int, Seed] = {}
        self.held: set[int] = set()

    def setup(self, device: str) -> None:
        """Build the predictor on `device`, open the store, remove what dead workers left; called once in each actor."""
        settle(self.aws, same_machine=self.same_machine)
        logs.use(self.config.logging.format)
        sweep_scratch(self.scratch)
        self.device = device
        self.predictor = build_predictor(
            self.recipe, self.config.model.checkpoint, device=device, encode_batch=self.config.track.encode_batch
        )
        self.store = open_objects(self.config.store.root)

    def prove(self) -> str:
        """Show, in an actor, that its store is the driver's."""
        return self.shared.prove() if self.shared else ""

    def accept(self, proof: str) -> None:
        """See, in the driver, what an actor wrote to show that."""
        if self.shared:
            self.shared.accept(proof)

    def __call__(self, job: Job, *, deadline: float) -> Receipt:
        """Label the job's objects and say what was written; `deadline` is in seconds since the epoch."""
        watch = Stopwatch()
        with logs.named(run=job.run_id, video=job.video.video_id), ExitStack() as here:
            with watch.stage("fetch"):
                early = self.coming.take(job, here, deadline=deadline) if self.coming else None
            opened = early or here.enter_context(self._opened(job, watch))
            return self._label(job, opened.video, opened.path, deadline, watch)

    def prepare(self, job: Job) -> None:
        """Begin to fetch and probe a job's video in a thread, while there is plenty of room in scratch."""
        self.coming = self.coming or NextVideos(self._opened_early)
        self.coming.begin(job)

    def close(self) -> None:
        """Let go of videos whose jobs did not come."""
        if self.coming:
            self.coming.close()

    def _opened_early(self, job: Job) -> AbstractContextManager[Opened]:
        # Half of scratch is for videos at work: those that only wait must never keep one of them waiting.
        return self._opened(job, Stopwatch(), scratch_share=0.5, wait_s=0.0)

    @contextmanager
    def _opened(self, job: Job, watch: Stopwatch, *, scratch_share: float = 1.0, wait_s: float = WAIT_S) -> Iterator[Opened]:
        cap_bytes = int(scratch_share * self.config.run.scratch_cap_gib * 2**30)
        fetched = fetch_video(job.video, self.scratch, run_id=self.run_id, cap_bytes=cap_bytes, wait_s=wait_s)
        with ExitStack() as here:
            with watch.stage("fetch"):
                path = here.enter_context(fetched)
            with watch.stage("probe"):
                video = probe(job.video, path)
            yield Opened(path, video)

    def _label(self, job: Job, video: Video, path: Path, deadline: float, watch: Stopwatch) -> Receipt:
        assert self.predictor, "setup() comes first"
        assert self.store, "setup() comes first"
        config, meters, refused = self.config, self._meters(job, video), dict[int, BadInput]()
        self.seeds, self.held = {}, set()
        indices = sampled_frames(path, video, time_range=config.source.time_range, frame_stride=config.source.frame_stride)
        with (
            FrameReader(path, video, indices) as frames,
            BatchWriter(
                self.store, run_id=job.run_id, video=video, batch=job.batch,
                scratch=process_folder(self.scratch, self.run_id), components=job.components,
            ) as writer,
            arithmetic(self.recipe.precision, device=self.device),
        ):
            for one in watched(self._tracked(job, video, frames, deadline, refused), watch, "track"):
                with watch.stage("signals"):
                    meters[one.object_id].add(one.mask)
                with watch.stage("write"):
                    writer.add(one.object_id, job.label_versions[one.object_id], self._key(job, one.object_id), one.mask)
            if refused.keys() >= meters.keys():
                raise _together(refused)
            rows = [self._row(job, object_id, meter) for object_id, meter in meters.items() if object_id not in refused]
            with watch.stage("write"):
                written = writer.finish(rows)
        return Receipt(
            job_name=job.name,
            video_id=job.video.video_id,
            num_frames=len(indices),
            num_objects=len(rows),
            num_masks=written.num_masks,
            video_seconds=video.duration_seconds,
            files=written.files,
            seconds_by_stage=dict(watch.seconds),
            peak_gpu_bytes=take_peak_gpu_bytes(self.device),
            dead_objects={object_id: record_of(error) for object_id, error in refused.items()},
        )

    def _tracked(
        self, job: Job, video: Video, frames: FrameReader, deadline: float, refused: dict[int, BadInput]
    ) -> Iterator[Tracked]:
        """Follow the job's objects: whole, or on some frames alone where the rest is kept; `refused` takes what cannot be."""
        assert self.predictor, "setup() comes first"
        assert self.store, "setup() comes first"
        track, whole = self.config.track, [p for p in job.prompts if p.object_id not in job.kept]
        if self.config.qc.seeds is not SeedCheck.off:
            self._look_at_seeds(whole, video, frames, refused)
            yield from self._held(frames)
            whole = [p for p in whole if p.object_id not in refused and p.object_id not in self.held]
        yield from follow(
            self.predictor,
            frames,
            whole,
            size_hw=video.size_hw,
            direction=track.direction,
            scope=self.config.prompts.scope,
            max_objects=track.max_objects_per_batch,
            deadline=deadline,
            refused=refused,
        )
        corrected = [p for p in job.prompts if p.object_id in job.kept]
        check_prompts(corrected, frames.frame_indices, video.size_hw, refused)
        for object_id, kept in job.kept.items():
            if object_id in refused:
                continue
            own = [p for p in corrected if p.object_id == object_id]
            row = {"video_id": job.video.video_id, "track_id": str(object_id), "masks_file": kept.masks_file}
            before = [mask_from_row(mask) for mask in read_mask_rows(self.store, row).to_pylist()]
            try:
                # Held until the last is there: nothing may be written of an object that is refused on the way.
                yield from list(follow_within(
                    self.predictor, frames, own, kept, before, size_hw=video.size_hw, deadline=deadline,
                    scope=self.config.prompts.scope,
                ))
            except BadPrompt as error:
                refused[object_id] = error

    def _look_at_seeds(
        self, prompts: Sequence[Prompt], video: Video, frames: FrameReader, refused: dict[int, BadInput]
    ) -> None:
        """Ask for each object's first mask; with `qc.seeds=ask` what rules doubt is held, unless a person has drawn it."""
        assert self.predictor, "setup() comes first"
        check_prompts(prompts, frames.frame_indices, video.size_hw, refused)
        sound = [prompt for prompt in prompts if prompt.object_id not in refused]
        self.seeds = look_at_seeds(
            self.predictor, frames, sound, precision=self.recipe.precision, device=self.device
        )
        if self.config.qc.seeds is SeedCheck.ask:
            answered = {prompt.object_id for prompt in sound if prompt.source is PromptSource.CORRECTION}
            doubted = {o for o, seed in self.seeds.items() if doubts_of_seed(seed.signals(), self.config.qc)}
            self.held = doubted - answered

    def _held(self, frames: FrameReader) -> Iterator[Tracked]:
        """The first masks of objects that are not followed before a person has said that their prompts are right."""
        for object_id in sorted(self.held):
            seed = self.seeds[object_id]
            position = frames.frame_indices.index(seed.frame_idx)
            yield Tracked(object_id, FrameMask(
                seed.frame_idx, frames.pts_seconds(position), seed.mask, rle.area(seed.mask), rle.box_xywh(seed.mask),
                seed.predicted_iou, seed.object_score,
            ))

    def _key(self, job: Job, object_id: int) -> str:
        return held_key(job.keys[object_id]) if object_id in self.held else job.keys[object_id]

    def _meters(self, job: Job, video: Video) -> Mapping[int, SignalMeter]:
        threshold = self.recipe.presence_threshold
        return {o: SignalMeter(video.size_hw, video.frame_rate, threshold) for o in sorted(job.keys)}

    def _row(self, job: Job, object_id: int, meter: SignalMeter) -> TrackRow:
        prompts = tuple(p for p in job.prompts if p.object_id == object_id)
        return TrackRow(
            object_id=object_id,
            label_version=job.label_versions[object_id],
            key=self._key(job, object_id),
            category=category_of(prompts),
            prompts=prompts,
            signals=self._signals(object_id, meter),
            provenance=self._provenance(HELD if object_id in self.held else self.config.track.direction.value),
        )

    def _signals(self, object_id: int, meter: SignalMeter) -> Signals:
        """Return what was measured of a masklet and of its prompt."""
        signals, seed = meter.signals(), self.seeds.get(object_id)
        if seed is None:
            return signals
        of_seed = seed.signals()
        return Signals({**signals.values, **of_seed.values}, {**signals.spans, **of_seed.spans})

    def _provenance(self, direction: str) -> Provenance:
        return Provenance(
            model=self.recipe.model,
            checkpoint_sha256=self.recipe.checkpoint_sha256,
            tracker=self.recipe.tracker,
            precision=self.recipe.precision,
            image_size=self.recipe.image_size,
            device=self.device,
            presence_threshold=self.recipe.presence_threshold,
            direction=direction,
            semantics_version=self.recipe.semantics_version,
            code_version=version("samurai-labeling"),
            run_id=self.run_id,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def seen_from_anywhere(config: LabelConfig) -> LabelConfig:
    """Return the configuration with its folders and files named from the top: an actor works in another folder."""
    local = {"store": ("root",), "model": ("checkpoint",), "run": ("scratch",)}
    changed = copy.deepcopy(config)
    for node, names in local.items():
        part = getattr(changed, node)
        for name in names:
            path = getattr(part, name)
            if path and "://" not in path:
                setattr(part, name, os.path.abspath(os.path.expanduser(path)))
    return changed


def _together(refused: Mapping[int, BadInput]) -> BadInput:
    """The error of a job none of whose objects could be followed."""
    first, *others = map(str, refused.values())
    reasons = {error.reason for error in refused.values()}
    reason = reasons.pop() if len(reasons) == 1 else "bad_prompt"
    return BadInput(f"{first} ... and {len(others)} more objects" if others else first, reason)


def category_of(prompts: tuple[Prompt, ...]) -> str | None:
    """Return the category that an object's prompts name, the first that does."""
    return next((p.category for p in prompts if p.category), None)


def watched(items: Iterator[T], watch: Stopwatch, name: str) -> Iterator[T]:
    """Pass the items on and add the time that each took to come to a stage."""
    while True:
        with watch.stage(name):
            item = next(items, None)
        if item is None:
            return
        yield item
