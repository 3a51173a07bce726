"""The figures of `labeling quality bench` as tables, for a terminal and as Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Rows = list[list[str]]
Titled = tuple[str, list[str], Rows]

MOST_SIGNALS = 15
CONTENDER_COLUMNS = {
    "AUROC": "auroc", "J < .5": "auroc_below_half", "AUPRC": "auprc", "riskiest fifth holds": "riskiest_fifth",
    "good accepted at 5 %": "good_accepted", "accepted": "accepted", "bad among them": "error_of_accepted",
    "of good ones": "good_among_accepted", "ECE (perfect)": "ece", "Brier (perfect)": "brier",
}


def print_tables(figures: Mapping[str, Any], console: Console) -> None:
    """Print every table."""
    console.print(heading(figures), markup=False)
    for title, header, rows in tables(figures):
        table = Table(*header, title=title, title_justify="left", box=None)
        for row in rows:
            table.add_row(*row)
        console.print(table)


def to_markdown(figures: Mapping[str, Any]) -> str:
    """Return every table as Markdown."""
    parts = [heading(figures)]
    for title, header, rows in tables(figures):
        lines = ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]
        parts.append(f"### {title}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def heading(figures: Mapping[str, Any]) -> str:
    """Say what the figures are of."""
    return (
        f"{figures['ranked']} of {figures['tracks']} tracks of {figures['clips']} clips ranked, {figures['bad_share']:.0%} of "
        "them bad (mean J below 0.75). Queue and acceptance are reckoned for a set with 10 % bad ones; in brackets 95 % "
        "intervals by bootstrap over clips."
    )


def tables(figures: Mapping[str, Any]) -> Iterator[Titled]:
    """Yield title, header and rows of each table."""
    contenders = figures["contenders"]
    rows = [[name, *(_cell(of, key) for key in CONTENDER_COLUMNS.values())] for name, of in contenders.items()]
    yield "Who tells bad tracks from good ones", ["", *CONTENDER_COLUMNS], rows
    for name, kinds in figures["kinds"].items():
        parts = [
            [kind, str(of["tracks"]), str(of["bad"]), *(_number(of["auroc"][c]) for c in contenders)]
            for kind, of in kinds.items()
        ]
        yield f"AUROC by {name.replace('_', ' ')}", ["", "tracks", "bad", *contenders], parts
    alone = list(figures["signals_alone"].items())[:MOST_SIGNALS]
    yield "Signals alone", ["", "AUROC", "tracks"], [[name, _number(of["auroc"]), str(of["tracks"])] for name, of in alone]
    frames = [[name, _number(of["auroc"]), str(of["frames"])] for name, of in figures["frames"].items()]
    yield "Frames with J below 0.5, by their scores", ["", "AUROC", "frames"], frames


def _cell(of: Mapping[str, Any], key: str) -> str:
    value = of.get(key)
    if isinstance(value, Mapping):
        return f"{_number(value['value'])} ({_span(value['interval'])})"
    perfect = f" ({_number(of[f'{key}_of_perfect'])})" if f"{key}_of_perfect" in of else ""
    return _number(value) + perfect


def _span(ends: Sequence[float | None]) -> str:
    return " to ".join(map(_number, ends))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}".lstrip("0") if value < 1 else f"{value:.3f}"
