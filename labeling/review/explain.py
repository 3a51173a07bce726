"""What a flag means, in a sentence for the person who looks: what to look for, and the number behind it."""

import re

from labeling.types import QCFlag

WHAT = {
    "object_lost": "The object has no mask for long although it may still be there.",
    "late_loss": "The mask is gone from some frame to the end.",
    "flicker": "The mask goes and comes back many times.",
    "ghost": "The mask stands still as if nothing were behind it.",
    "swap": "The mask may have gone over to another object.",
    "wrong_reacquisition": "After a gap another object may have been taken up.",
    "leak": "The mask may have spread over what is not the object.",
    "fragment": "The mask falls into several parts.",
    "drift": "The mask slowly leaves the object.",
    "granularity": "The mask may have changed to a part of the object, or to more than it.",
    "duplicate": "The mask lies inside another object's: they may be the same.",
    "boundary": "The edge is uncertain: a little more or less would change the mask much.",
    "wrong_seed": "The prompt may be on the wrong object.",
    "low_predicted_iou": "The network itself expects a poor mask here.",
    "low_object_score": "The network doubts that the object is there.",
    "area_jump": "The area changes at once.",
    "motion_jump": "The mask moves as the object hardly can.",
    "too_small": "The mask is very small.",
}


def explanation(flag: QCFlag) -> str:
    """One or two sentences on a flag, with its number and bound."""
    word = "above" if flag.value > flag.threshold else "below"
    name = re.sub(r"\biou\b", "IoU", flag.signal.replace("_", " "))
    number = f"{name} is {flag.value:.3g}, {word} the bound {flag.threshold:.3g}"
    what = WHAT.get(flag.reason, "")
    return f"{what} {number[0].upper()}{number[1:]}." if what else f"{number[0].upper()}{number[1:]}."
