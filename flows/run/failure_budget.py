"""When a run should stop: more of its videos have become dead letters than `run.max_dead_letter_share` allows."""

from collections import Counter
from collections.abc import Mapping

# Of the first few videos none says much about the rest: the share is taken of so many at least.
AT_LEAST = 20


def overspent(finished: int, dead: Mapping[str, int], share: float) -> str:
    """Say in a sentence that too many of `finished` videos are `dead` (counted by reason), and of what; else ""."""
    total = sum(dead.values())
    if total <= share * max(finished, AT_LEAST):
        return ""
    reason, most = Counter(dead).most_common(1)[0]
    return (
        f"{total} of {finished} videos ({total / max(finished, 1):.0%}) became dead letters, more than "
        f"run.max_dead_letter_share={share:g} allows; {most} of them for {reason}"
    )
