"""One in a hundred of the campaign over damaged stores: `python -m tests.campaigns.damaged_store`."""

from tests.campaigns.damaged_store import trials


def test_a_damaged_object_is_named_and_costs_itself_alone() -> None:
    done = list(trials(10, seed=3))
    assert len(done) == 30
    assert [trial for trial in done if trial.problem] == []
    assert {trial.code for trial in done} >= {0, 4}
