import json

import pytest

from labeling.errors import BadConfiguration
from labeling.qc.judge_json import digest_of, document_of, judge_from_json, to_json
from tests.labeling.qc.made_judges import fitted, known_tracks, made_judge


def test_a_judge_is_read_as_it_was_written_and_its_name_is_what_it_says():
    text, judge = to_json(fitted().document), made_judge()
    assert to_json(document_of(judge)) == text
    assert judge.digest == digest_of(text)
    spaced = judge_from_json(json.dumps(json.loads(text), indent=2), "spaced")
    assert spaced.digest == judge.digest
    rows = known_tracks(7, 30).rows
    assert spaced.assess(rows).risk_R.tolist() == judge.assess(rows).risk_R.tolist()


def changed(**parts):
    return to_json(fitted().document | parts)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is no judge"),
        ("[]", "is no judge"),
        (changed(format=99), "format is 99; expected 1"),
        (changed(heads=[]), "heads is"),
        (changed(features=["tail_loss"]), "is no judge"),
        (changed(accept_below=2.0), "accept_below is 2.0; expected 0 to reject_from"),
        (changed(heads=fitted().document["heads"][:2]), "trees is"),
    ],
)
def test_what_is_no_judge_is_named(text, told):
    with pytest.raises(BadConfiguration, match=told):
        judge_from_json(text, "own.json")
