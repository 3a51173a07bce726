"""Reviewers over HTTP and a server that is killed in between: the benchmark's own race, small."""

from pathlib import Path

from tests.bench.review_claims import findings, race, replay

ITEMS, REVIEWERS = 120, 10


def test_a_killed_server_loses_no_answered_decision_and_gives_nothing_away_twice(queue_url: str, tmp_path: Path) -> None:
    tally, _ = race(queue_url, tmp_path, items=ITEMS, reviewers=REVIEWERS, kills=1)
    problems = findings(queue_url, tally)
    assert (problems.decisions, problems.held_twice, problems.lost_decisions, problems.chain) == (ITEMS, 0, 0, "whole")
    assert len({seq for _, seq in tally.acknowledged}) == ITEMS
    # A claim may be overtaken by those that are made beside it, and by an item that comes back meanwhile.
    assert problems.most_overtaken <= 2 * REVIEWERS


def test_the_replay_sees_what_is_held_twice_and_out_of_order() -> None:
    ranks = {1: (-0.9, 1), 2: (-0.5, 2), 3: (-0.1, 3)}
    opened = [(1, "opened"), (2, "opened"), (3, "opened")]
    assert replay([*opened, (1, "claimed"), (2, "claimed"), (1, "decided"), (3, "claimed")], ranks) == (0, 0)
    assert replay([*opened, (1, "claimed"), (1, "released"), (1, "claimed"), (1, "claimed")], ranks) == (1, 0)
    assert replay([*opened, (3, "claimed")], ranks) == (0, 2)
