"""When a place's actor is late: on its way to a node, in its set-up, at work."""

from concurrent.futures import Future

from labeling.config import ClusterConfig
from labeling.pool.worker import Worker, record_of_lateness

CLUSTER = ClusterConfig(placement_timeout_s=1000, setup_timeout_s=100)


def test_the_clock_of_the_set_up_begins_when_the_actor_has_its_place() -> None:
    worker = Worker(0, generation=2, handle=object(), setup_answer=Future(), asked_at=50.0)
    assert worker.late_at(CLUSTER) == 1050
    assert "cluster.placement_timeout_s=1000" in record_of_lateness(worker, CLUSTER).message
    begun: Future[None] = Future()
    begun.set_result(None)
    worker._note_placed(1, begun)
    assert worker.placed_at is None, "an actor that was replaced meanwhile"
    worker._note_placed(2, begun)
    assert worker.placed_at is not None
    assert worker.late_at(CLUSTER) == worker.placed_at + 100
    assert "cluster.setup_timeout_s=100" in record_of_lateness(worker, CLUSTER).message


def test_an_actor_that_died_on_its_way_has_no_place() -> None:
    worker = Worker(0, generation=1, handle=object(), setup_answer=Future())
    lost: Future[None] = Future()
    lost.set_exception(RuntimeError("its node left"))
    worker._note_placed(1, lost)
    assert worker.placed_at is None
