"""`labeling certify`: an audit is drawn, and once people have answered it, what it shows is promised."""

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from flows.cli.arguments import AsJson, Root, require_written, store_at
from flows.cli.console import DEAD_LETTERS, OK, console, escape
from flows.configure import as_configuration
from labeling.certify.examine import Examined
from labeling.certify.thresholds import Promise, Terms

commands = typer.Typer(rich_markup_mode="markdown")
EXAMPLES = """
Examples:

    labeling certify labels --draw 300                      draw 300 of all judged masklets; people answer them on the page

    labeling certify labels --error 0.05 --promise whole    what the answers show, accepted and certified

    labeling certify s3://labels/cars --draw 150 --promise lot
"""


@commands.command(epilog=EXAMPLES)
def certify(
    where: Root,
    error: Annotated[float, typer.Option(help="The share of bad masklets that is promised at most")] = 0.05,
    confidence: Annotated[float, typer.Option(help="How sure the promise is")] = 0.95,
    promise: Annotated[Promise, typer.Option(help="Bad and accepted, of all; bad, of those accepted; bad, of this lot")]
    = Promise.WHOLE,
    count: Annotated[int | None, typer.Option("--draw", help="Only draw so many masklets for people to look at")] = None,
    as_json: AsJson = False,
) -> None:
    """Certify the share of bad masklets among those accepted, by a random audit that people answered.

    `--draw N` puts N masklets, drawn at random, into the review queue, where they wait for a verdict alone. Once they are
    answered the same command without it finds the risk up to which masklets may be accepted, publishes what that accepts, and
    writes `certificate.json` and a page beside the snapshot. Where the answers do not show it nothing more is accepted, and it
    says how many are missing (exit code 1).
    """
    config = store_at(where)
    require_written(config)
    with as_configuration():
        terms = Terms(promise, error, confidence)
    from flows.run import certified

    if count is not None:
        made, counts = certified.draw_audit(config, promise, count)
        if as_json:
            _print({"draw": made.name, "seed": made.seed, "population": made.population, **asdict(counts)})
            return
        of = "accepted" if made.is_lot else "judged"
        _say(f"{made.name}: {len(made.masklets)} of {made.population:,} {of} masklets drawn (seed {made.seed})")
        _say(f"{counts.waiting} wait for a verdict, {counts.decided} had one; {counts.mixed_in} others are mixed in")
        _say("reviewers find them first on `labeling review serve`; then `labeling certify` again, without --draw")
        return
    found, page = certified.certify(config, terms)
    if as_json:
        _print(_plain(found, page))
    else:
        for line in _lines(found, terms, page):
            _say(line)
    raise typer.Exit(OK if found.certificate else DEAD_LETTERS)


def _lines(found: Examined, terms: Terms, page: str) -> list[str]:
    shown = found.finding
    if found.certificate is not None:
        return [
            found.certificate.sentence,
            f"n {shown.num_audits}, m {shown.num_below}, k {shown.num_bad}, t {shown.threshold:.4g}: at most "
            f"{100 * shown.bound:.2f} % ({found.waiting} unanswered count as bad)",
            f"certificate: {page}",
        ]
    if not found.drawn:
        return [f"nothing was drawn for this promise yet; it takes {terms.cleanest} audits or more: --draw 300"]
    below = f"{shown.num_bad} bad of {shown.num_below} up to the first threshold"
    counts = f"{found.drawn} drawn, {found.waiting} without an answer, {below}"
    lines = [f"not shown, and nothing more is accepted: {counts}", f"{found.missing} audits are missing{_how_long(found)}"]
    if not found.waiting:
        lines.append(f"draw anew, all of them: --draw {found.drawn + found.finding.missing} (it is another try, and says so)")
    return lines


def _how_long(found: Examined) -> str:
    if not found.seconds_each:
        return ""
    left = timedelta(seconds=round(found.missing * found.seconds_each))
    return f", about {left} at {found.seconds_each:.0f} s each"


def _plain(found: Examined, page: str) -> dict[str, object]:
    certificate = json.loads(found.certificate.to_json()) if found.certificate else None
    return {
        **asdict(found.finding), "certificate": certificate, "page": page, "draws": list(found.draws), "drawn": found.drawn,
        "waiting": found.waiting, "missing": 0 if certificate else found.missing, "seconds_each": found.seconds_each,
    }


def _print(said: dict[str, object]) -> None:
    typer.echo(json.dumps(said, indent=1))


def _say(line: str) -> None:
    console.print(escape(line), soft_wrap=True)
