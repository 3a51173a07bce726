"""The reasons that a rule may give: what each says of a masklet, and what a person should look for.

Rules take their names here, the report its phrases, the review page its sentences and questions.
"""

import re
from dataclasses import dataclass

from labeling.types import QCFlag


@dataclass(frozen=True, slots=True)
class Reason:
    """A defect by name: `phrase` for a table, `sentence` for a flag, `question` for the person who looks at the mask."""

    name: str
    phrase: str
    sentence: str
    question: str


WRONG_SEED = "wrong_seed"
UNUSUAL = "unusual"  # the fitted judge's own: no rule gives it

_ALL = (
    Reason(
        "object_lost", "the tracker stopped seeing the object",
        "The object has no mask for long although it may still be there.",
        "Is the object still in the picture where the mask is empty?",
    ),
    Reason(
        "late_loss", "the end of the span is empty",
        "The mask is gone from some frame to the end.",
        "Does the object leave, or is it only lost towards the end?",
    ),
    Reason(
        "flicker", "the mask comes and goes",
        "The mask goes and comes back many times.",
        "Does the object come and go, or only its mask?",
    ),
    Reason(
        "ghost", "a mask stays where nothing is",
        "The mask stands still as if nothing were behind it.",
        "Is anything under the mask that stands still?",
    ),
    Reason(
        "swap", "the mask jumps to another object",
        "The mask may have gone over to another object.",
        "Is it the same object before and after the jump?",
    ),
    Reason(
        "wrong_reacquisition", "after a gap, something else is followed",
        "After a gap another object may have been taken up.",
        "Is it the same object after the gap?",
    ),
    Reason(
        "leak", "the mask spills over its object",
        "The mask may have spread over what is not the object.",
        "Does the mask spill onto a neighbour or the background?",
    ),
    Reason(
        "fragment", "the mask falls apart or shrinks to a part",
        "The mask falls into several parts.",
        "Does the mask cover the whole object, in one piece?",
    ),
    Reason(
        "drift", "the mask slides off its object",
        "The mask slowly leaves the object.",
        "Does the mask slide off the object?",
    ),
    Reason(
        "granularity", "the mask changes between part and whole",
        "The mask may have changed to a part of the object, or to more than it.",
        "Part or whole: does the mask mean the same throughout?",
    ),
    Reason(
        "duplicate", "two tracks cover the same object",
        "The mask lies inside another object's: they may be the same.",
        "Does another track cover the same object?",
    ),
    Reason(
        "boundary", "the outline is unsure",
        "The edge is uncertain: a little more or less would change the mask much.",
        "Does the outline follow the object's edge?",
    ),
    Reason(
        WRONG_SEED, "the prompt did not fit an object",
        "The prompt may be on the wrong object.",
        "Is the prompt on the object that was meant?",
    ),
    Reason(
        "low_predicted_iou", "the tracker doubts its own masks",
        "The network itself expects a poor mask here.",
        "Does the mask fit where the tracker doubts it?",
    ),
    Reason(
        "low_object_score", "the tracker doubts that the object is there",
        "The network doubts that the object is there.",
        "Is the object there where the tracker doubts it?",
    ),
    Reason(
        "area_jump", "the area changes from one frame to the next",
        "The area changes at once.",
        "Does the object change its size so fast, or the mask alone?",
    ),
    Reason(
        "motion_jump", "the object moves further than it can",
        "The mask moves as the object hardly can.",
        "Does the object move so fast, or the mask alone?",
    ),
    Reason(
        "too_small", "too few pixels to be sure of",
        "The mask is very small.",
        "Can the object be told from its surroundings?",
    ),
    Reason(
        UNUSUAL, "unlike the good masklets that the judge knows",
        "The judge finds nothing wrong, but good masklets that it knows do not look like this one.",
        "Is anything wrong that has no name yet?",
    ),
)
REASONS = {reason.name: reason for reason in _ALL}


def explanation(flag: QCFlag) -> str:
    """Explain a flag in one or two sentences, with its number and bound; a reason of an older release has no sentence."""
    word = "above" if flag.value > flag.threshold else "below"
    signal = re.sub(r"\biou\b", "IoU", flag.signal.replace("_", " "))
    number = f"{signal[0].upper()}{signal[1:]} is {flag.value:.3g}, {word} the bound {flag.threshold:.3g}."
    return f"{REASONS[flag.reason].sentence} {number}" if flag.reason in REASONS else number


def question(flag: QCFlag) -> str:
    """Return what to look for where a flag points, '' for a reason of an older release."""
    return REASONS[flag.reason].question if flag.reason in REASONS else ""
