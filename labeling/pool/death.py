"""What a driver says of workers that died, hung, or are no more."""

from ray.exceptions import ActorDiedError, OutOfMemoryError, RayError

from labeling.config import ClusterConfig
from labeling.pool.cluster import NoWorkersLeft
from labeling.pool.slot import Slot
from labeling.types import ErrorKind, ErrorRecord, Job


def record_of_death(error: RayError, slot: Slot) -> ErrorRecord:
    """Return the record of an actor's death, with the line of Ray's report that says of what."""
    text = str(error)
    cause = next((line for line in reversed(text.splitlines()) if line.strip()), type(error).__name__)
    reason = "out_of_memory" if isinstance(error, OutOfMemoryError) or "memory monitor" in text else "worker_died"
    unstarted = isinstance(error, ActorDiedError) and error.actor_init_failed
    brief = text if unstarted else cause.split(" Some common causes")[0].strip()
    return ErrorRecord(ErrorKind.DEVICE, reason, f"{slot.name} died {_doing(slot)}: {brief}", text[-8000:])


def record_of_lateness(slot: Slot, cluster: ClusterConfig) -> ErrorRecord:
    """Return the record of an actor that was killed because it did not answer in time."""
    if slot.setup_answer is not None and slot.placed_at is None:
        message = f"no node had room for it within cluster.placement_timeout_s={cluster.placement_timeout_s:g}"
        return ErrorRecord(ErrorKind.DEVICE, "deadline", message)
    if slot.setup_answer is not None:
        message = f"set-up took longer than cluster.setup_timeout_s={cluster.setup_timeout_s:g}"
        return ErrorRecord(ErrorKind.DEVICE, "deadline", message)
    message = (
        f"still running {cluster.deadline_grace_s:g} s after its time limit of {slot.calls[0].longest_s:g} s; "
        f"{slot.name} was killed {_doing(slot)}"
    )
    return ErrorRecord(ErrorKind.POISON, "deadline", message)


def no_workers_left(num_workers: int, record: ErrorRecord | None, not_done: tuple[Job, ...]) -> NoWorkersLeft:
    """Return the error of a pool whose places were all given up; `record` says why the last was."""
    why = record.message if record else "unknown"
    return NoWorkersLeft(
        f"all {num_workers} workers were given up, {len(not_done)} jobs are not done; the last failed with: {why}",
        record, not_done,
    )


def _doing(slot: Slot) -> str:
    if slot.setup_answer is not None:
        return "in its set-up"
    first, *others = slot.calls[0].flights
    return f"while it held one of {1 + len(others)} jobs" if others else f"while it held job {first.job.name}"
