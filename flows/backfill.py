"""Labels what is there already, part by part: the days of a date range, prefixes, or a manifest.

Nothing is remembered beyond the store: called again, it does the parts in which something is still due.
"""

import dataclasses
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from flows.label_dataset import label_dataset
from flows.run import review_queue as reviewing
from flows.run.outcome import Outcome
from flows.run.plan import new_run_id
from flows.run.progress import overspent
from flows.run.redacted_flow import discreet
from labeling.config import LabelConfig, SeedCheck
from labeling.errors import BadConfiguration
from labeling.ingest.listing import list_videos
from labeling.ingest.prompts import merge_prompts, read_prompts
from labeling.objects import open_objects
from labeling.pool.cluster import usable_cpus
from labeling.store.keys import recipe_for
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from labeling.store.runs import recent_summaries
from labeling.track.predictor import recipe_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Days:
    """From `first` to `last`, both counted; `pattern` is a glob with strftime's codes, as `cam*/%Y/%m/%d/**`."""

    first: date
    last: date
    pattern: str

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise BadConfiguration(f"the dates are {self.first} to {self.last}; expected the earlier one first")
        if self.first.strftime(self.pattern) == self.pattern:
            raise BadConfiguration(f"--pattern is {self.pattern!r}; expected a glob with dates in it, as 'cam*/%Y/%m/%d/**'")

    def globs(self) -> Iterator[str]:
        """Yield the glob of each day."""
        for day in range((self.last - self.first).days + 1):
            yield (self.first + timedelta(days=day)).strftime(self.pattern)


@dataclass(frozen=True, slots=True)
class Part:
    """What of the source is done in one run, and how much of it is due; `due_bytes` are of the videos that are."""

    glob: str
    num_videos: int
    num_due: int
    due_bytes: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a backfill has before it; hours are None where no past run says anything.

    `unpublished` results are those of a run that was killed before its snapshot.
    """

    parts: tuple[Part, ...]
    unpublished: int
    video_hours: float | None
    wall_hours: float | None
    num_workers: int

    @property
    def num_due(self) -> int:
        """How many videos are due."""
        return sum(part.num_due for part in self.parts)

    @property
    def due_parts(self) -> tuple[Part, ...]:
        """The parts to run: those with something due, or the first one where results only wait to be published."""
        return tuple(part for part in self.parts if part.num_due) or (self.parts[:1] if self.unpublished else ())


@dataclass(slots=True)
class Backfilled:
    """What a backfill has come to so far; `stopped` says why it ended before its last part."""

    outcomes: list[Outcome] = field(default_factory=list)
    stopped: str = ""

    @property
    def finished(self) -> int:
        """Videos that were tried."""
        return sum(outcome.summary.num_jobs for outcome in self.outcomes)

    @property
    def dead(self) -> Mapping[str, int]:
        """Dead letters by reason, most frequent first."""
        total: Counter[str] = Counter()
        for outcome in self.outcomes:
            total.update(outcome.summary.failures_by_reason)
        return dict(total.most_common())


def globs_of(config: LabelConfig, *, days: Days | None = None, prefixes: Sequence[str] = ()) -> tuple[str, ...]:
    """Return a glob for each part: for each day, for each prefix, or the configured one over a manifest.

    Raises:
        BadConfiguration: none of the three or more than one is given.
    """
    given = [name for name, it in (("dates", days), ("prefixes", prefixes), ("source.manifest", config.source.manifest)) if it]
    if len(given) != 1:
        told = " and ".join(given) or "nothing"
        raise BadConfiguration(f"given: {told}; expected dates, prefixes or source.manifest, one of them")
    if days is not None:
        if config.source.glob != "**":
            raise BadConfiguration(f"source.glob is {config.source.glob!r}; with dates, say it in --pattern")
        return tuple(dict.fromkeys(days.globs()))
    return tuple(f"{_literally(p.strip('/'))}/{config.source.glob}" for p in prefixes) or (config.source.glob,)


def look_ahead(config: LabelConfig, globs: Sequence[str]) -> Forecast:
    """Say what is due in each part, and how long that should take by past runs; only listings and tables are read."""
    objects = open_objects(config.store.root)
    table = merge_prompts(read_prompts(config.prompts.uri), reviewing.corrections_now(config, objects))
    ledger = read_ledger(objects)
    recipe = recipe_for(recipe_of(config.model, config.precision, config.tracker), config.source, config.track, config.prompts)
    parts, asking = [], config.qc.seeds is SeedCheck.ask
    for glob in globs:
        refs = list(list_videos(of_part(config, glob).source))
        spelled = table.spelled_as([ref.key for ref in refs])
        plan = make_plan(refs, spelled, ledger, recipe, new_run_id(), whole_source=False, asking=asking)
        parts.append(Part(glob, len(plan.entries), len(plan.jobs), plan.due_bytes))
    workers = config.cluster.actors or usable_cpus()
    useful = [s for s in recent_summaries(objects) if s.labelled_bytes > 0]
    per_hour = sum(part.due_bytes for part in parts) / sum(s.labelled_bytes for s in useful) / 3600 if useful else None
    return Forecast(
        parts=tuple(parts),
        unpublished=len(ledger.markers),
        video_hours=per_hour * sum(s.video_seconds for s in useful) if per_hour is not None else None,
        wall_hours=per_hour * sum(s.worker_seconds for s in useful) / workers if per_hour is not None else None,
        num_workers=workers,
    )


@discreet(name="backfill", flow_run_name="{config.store.root}", validate_parameters=False, retries=0)
def backfill(config: LabelConfig, forecast: Forecast, on_outcome: Callable[[Part, Outcome], None] | None = None) -> Backfilled:
    """Label every part in which something is due, a run and a snapshot for each, until too many videos have failed.

    The share of dead letters, `run.max_dead_letter_share`, is looked at within each part and over all of them.
    """
    done = Backfilled()
    for part in forecast.due_parts:
        outcome = label_dataset(of_part(config, part.glob))
        done.outcomes.append(outcome)
        if on_outcome is not None:
            on_outcome(part, outcome)
        done.stopped = outcome.stopped or overspent(done.finished, done.dead, config.run.max_dead_letter_share)
        if done.stopped:
            break
    return done


def of_part(config: LabelConfig, glob: str) -> LabelConfig:
    """Return the configuration of one part's run."""
    return dataclasses.replace(
        config, source=dataclasses.replace(config.source, glob=glob), run=dataclasses.replace(config.run, id=None)
    )


def _literally(prefix: str) -> str:
    """Write a prefix so that a glob takes every character of it as it is."""
    return re.sub(r"([*?\[{}])", r"[\1]", prefix)
