"""The crew follows the queue, and the nodes that join."""

from labeling.pool.call import Call
from labeling.pool.seats import Seat
from labeling.pool.slot import Slot
from labeling.pool.staffing import seat_again, to_dismiss, to_staff

BIG, SMALL = Seat(4, 0.5, "A100"), Seat(4, 1, "L4")


def slot(number: int, state: str, seat: Seat = BIG) -> Slot:
    """A place that is empty or closed, or whose actor waits for a node (`asked`), is idle or busy."""
    made = Slot(number, seat, given_up=state == "closed", deaths=4 if state == "closed" else 0)
    if state in ("asked", "idle", "busy"):
        made.handle = object()
    if state in ("idle", "busy"):
        made.placed_at = 1.0
    if state == "asked":
        made.setup_answer = None if state == "idle" else object()  # type: ignore[assignment]
    if state == "busy":
        made.calls.append(Call((), None, 0.0))  # type: ignore[arg-type]
    return made


def crew_of(*states: str) -> list[Slot]:
    return [slot(number, state) for number, state in enumerate(states)]


def numbers(slots: list[Slot]) -> list[int]:
    return [slot.number for slot in slots]


def test_an_actor_for_each_job_that_no_spare_one_is_there_for() -> None:
    crew = crew_of("busy", "empty", "closed", "asked", "empty", "empty", "idle")
    assert numbers(to_staff(crew, 0)) == []
    assert numbers(to_staff(crew, 2)) == []
    assert numbers(to_staff(crew, 4)) == [1, 4]
    assert numbers(to_staff(crew, float("inf"))) == [1, 4, 5]


def test_those_that_wait_go_first_and_the_fewest_stay() -> None:
    crew = crew_of("busy", "idle", "asked", "empty", "idle")
    assert numbers(to_dismiss(crew, 0)) == [2, 1, 4]
    assert numbers(to_dismiss(crew, 1)) == [2, 1, 4]
    assert numbers(to_dismiss(crew, 2)) == [2, 1]
    assert numbers(to_dismiss(crew, 9)) == []


def test_a_node_reopens_what_was_closed_and_brings_places() -> None:
    crew = crew_of("busy", "closed")
    assert seat_again(crew, [BIG] * 4) == []
    assert [(s.number, s.given_up, s.deaths, s.seat) for s in crew] == [(n, False, 0, BIG) for n in range(4)]
    assert seat_again(crew, [BIG] * 4) == []
    assert len(crew) == 4


def test_a_node_that_takes_the_place_of_one_that_left_brings_none() -> None:
    crew = crew_of("busy", "asked", "asked")
    assert seat_again(crew, [BIG, BIG]) == []
    assert len(crew) == 3


def test_those_that_wait_move_to_another_kind_of_gpu() -> None:
    crew = [slot(0, "busy"), slot(1, "asked"), slot(2, "asked"), slot(3, "empty")]
    assert numbers(seat_again(crew, [BIG, BIG, SMALL])) == [2]
    assert [s.seat for s in crew] == [BIG, BIG, SMALL, BIG]
