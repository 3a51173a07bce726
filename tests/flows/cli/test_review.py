"""`labeling review gold` and `ask` on a real store: gold by its outcome, and by true masks in the DAVIS layout."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.review import app
from flows.learn.davis import true_masks
from labeling.errors import BadConfiguration
from labeling.export.davis import export_davis
from labeling.review.gold import Gold
from labeling.review.queue import ReviewQueue
from tests.labeling.review.web.served import NUM_FRAMES, SEEN, fill, make_store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three doubtful masklets, and its own masks as a DAVIS folder."""
    made = tmp_path_factory.mktemp("gold")
    objects = make_store(made)
    export_davis(str(made / "store"), made / "davis", verdicts=("review",))
    with ReviewQueue(str(made / "store" / "review.sqlite")) as queue:
        fill(queue, objects)
        # What waits is object 1 of b.mp4.
        queue.decide(2, "accept", reviewer="ada")
        queue.decide(3, "reject", reviewer="ada")
    return made


def told(folder: Path, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, f"store.root={folder / 'store'}"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_gold_by_outcome_and_by_true_masks(folder: Path) -> None:
    assert "gold, accepted" in told(folder, "gold", "add", "2", "3")
    assert "gold, J&F 1.000" in told(folder, "gold", "add", "--truth", str(folder / "davis"))
    with ReviewQueue(str(folder / "store" / "review.sqlite")) as queue:
        assert [(g.item.item_id, g.good, g.num_masks) for g in Gold(queue).list()] == [
            (1, True, NUM_FRAMES), (2, True, NUM_FRAMES), (3, False, 0),
        ]
        for item_id in (2, 3):
            queue.decide(item_id, "reject", reviewer="bob")
    assert "b.mp4" in told(folder, "gold", "list")
    assert "50%" in told(folder, "gold", "scores")
    told(folder, "gold", "remove", "2", "3")
    told(folder, "ask", "1", "2")
    told(folder, "decide", "1", "accept", "--reviewer", "ada")
    with ReviewQueue(str(folder / "store" / "review.sqlite")) as queue:
        assert [g.item.item_id for g in Gold(queue).list()] == [1]
        assert [(d.action, d.reviewer) for d in queue.pending_decisions()] == [("accept", "ada"), ("reject", "ada")]


def test_gold_wants_names_or_truth(folder: Path) -> None:
    with pytest.raises(BadConfiguration, match="no item is named"):
        told(folder, "gold", "add")


def test_true_masks_are_found_by_name_and_number(folder: Path) -> None:
    found = true_masks(folder / "davis", "b.mp4", 1)
    assert found is not None
    assert sorted(found) == list(range(NUM_FRAMES))
    assert [k for k, mask in found.items() if mask.counts != found[SEEN].counts] == list(range(SEEN))
    assert true_masks(folder / "davis", "b.mp4", 2) is None
    assert true_masks(folder / "davis", "no/such.mp4", 1) is None
