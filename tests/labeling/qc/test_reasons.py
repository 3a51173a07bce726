"""Every reason says what it found and what to look for; one that a later release dropped still shows its number."""

from labeling.qc.reasons import REASONS, explanation, question
from labeling.types import QCFlag


def test_every_reason_has_a_phrase_a_sentence_and_a_question() -> None:
    for name, reason in REASONS.items():
        assert reason.name == name
        assert reason.phrase
        assert not reason.phrase.endswith(".")
        assert reason.sentence.endswith(".")
        assert reason.question.endswith("?")


def test_a_flag_is_explained_by_its_sentence_and_its_number() -> None:
    flag = QCFlag("area_jump", "area_jump_max", 1.25, 0.6, (3, 4))
    assert explanation(flag) == "The area changes at once. Area jump max is 1.25, above the bound 0.6."
    assert question(flag) == "Does the object change its size so fast, or the mask alone?"


def test_a_reason_that_this_release_does_not_have_shows_its_number_alone() -> None:
    flag = QCFlag("own_rule", "visible_share", 0.5, 0.9, (3, 4))
    assert explanation(flag) == "Visible share is 0.5, below the bound 0.9."
    assert question(flag) == ""
