"""Which places of a pool get an actor, which lose theirs, and what a node that joins changes: the crew follows the queue."""

from collections.abc import Sequence

from labeling.pool.seats import Seat, missing
from labeling.pool.slot import Slot


def to_staff(crew: Sequence[Slot], num_waiting: float) -> list[Slot]:
    """Return the empty places that are to get an actor: as many as there are jobs that no spare actor is there for."""
    empty = [slot for slot in crew if slot.handle is None and not slot.given_up]
    wanted = num_waiting - sum(slot.spare for slot in crew) if empty else 0
    return empty[: int(max(0, min(wanted, len(empty))))]


def to_dismiss(crew: Sequence[Slot], min_actors: int) -> list[Slot]:
    """Return the places whose actors have nothing to do when no job waits; those not set up first, `min_actors` stay."""
    spare = sorted((slot for slot in crew if slot.spare), key=lambda slot: slot.ready)
    return spare[: max(0, sum(slot.handle is not None for slot in crew) - min_actors)]


def seat_again(crew: list[Slot], seats: Sequence[Seat]) -> list[Slot]:
    """Fit a crew to the seats that a grown cluster has: reopen closed places, move actors that wait, add places.

    Returns the places whose seat is another one now: the actors that they asked for are to be dismissed.
    """
    for slot in crew:
        if slot.given_up:
            slot.given_up, slot.deaths = False, 0
    placed = [slot.seat for slot in crew if slot.handle is not None and slot.placed_at is not None]
    free, moved = list(missing(seats, placed)), list[Slot]()
    waiting = [slot for slot in crew if slot.handle is None or slot.placed_at is None]
    for slot in [slot for slot in waiting if slot.seat in free]:
        if slot.seat in free:
            free.remove(slot.seat)
            waiting.remove(slot)
    for slot in waiting[: len(free)]:
        slot.seat = free.pop(0)
        moved.append(slot)
    ahead = any(slot.looks_ahead for slot in crew)
    crew += [Slot(len(crew) + number, seat, looks_ahead=ahead) for number, seat in enumerate(free)]
    return moved
