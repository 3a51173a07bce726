"""The card of a judge: what it was trained on, what it reaches on tracks that it has not seen, its calibration as a picture."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from labeling.errors import BadConfiguration
from labeling.qc.judge import Judge


def rows_of_card(judge: Judge) -> Iterable[tuple[str, str]]:
    """Yield a judge's card, line by line: what it is, what it was trained on, what it reaches."""
    yield "judge", f"{judge.name} {judge.digest[:12]}"
    yield "network", f"{judge.model}, weights {', '.join(one[:12] for one in judge.weights) or 'any'}"
    heads = ", ".join(sorted({head.name for head in judge.heads}))
    yield "reads", f"{len(judge.features)} signals; {len(judge.trees)} trees for {heads}"
    yield "accepts", f"risk below {judge.accept_below:.3f}"
    yield "rejects", f"risk from {judge.reject_from:.3f} on" if judge.reject_from <= 1 else "nothing by risk"
    yield "novel", f"from {judge.usual.review_from:.1f} on, beside {judge.usual.num_tracks} good tracks"
    trained: Mapping[str, Any] = judge.facts.get("trained_on", {})
    yield from ((f"trained on: {name}", _words(value)) for name, value in trained.items())
    held: Mapping[str, Any] = judge.facts.get("held_out", {})
    yield from ((f"held out: {name}", _words(value)) for name, value in held.items() if name != "calibration")
    signals: Sequence[tuple[str, float]] = judge.facts.get("signals", [])
    if signals:
        yield "signals that matter", ", ".join(f"{name} {fall:+.3f}" for name, fall in signals[:10])


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(of)}" for name, of in value.items())
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def draw_calibration(judge: Judge, path: Path) -> None:
    """Draw the bins of a judge's card into a PNG; BadConfiguration for a judge without them, or a bad path."""
    bins = judge.facts.get("held_out", {}).get("calibration", [])
    if not bins:
        raise BadConfiguration(f"judge {judge.name} was calibrated on reviews: no held-out tracks are on its card")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.plot([one["risk"] for one in bins], [one["bad"] for one in bins], marker="o", color="#2b6cb0")
    for name, bound in (("accepted below", judge.accept_below), ("rejected from", judge.reject_from)):
        if bound <= 1:
            axes.axvline(bound, color="0.5", linestyle=":")
            axes.text(bound, 1.02, name, rotation=30, fontsize=8, color="0.4")
    tracks = round(sum(one["tracks"] for one in bins))
    axes.set(xlabel="risk", ylabel="share of bad tracks", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"{judge.name} {judge.digest[:12]}: {tracks} held-out tracks", fontsize=9, pad=28)
    try:
        figure.savefig(path.expanduser(), dpi=110, format="png")
    except OSError as error:
        raise BadConfiguration(f"--plot is {str(path)!r} ({error.strerror}); give a path that can be written") from error
