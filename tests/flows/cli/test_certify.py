"""`labeling certify` from the draw to the certificate, on 340 masklets whose truth a simulated reviewer knows."""

import atexit
import json
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.configure import load_config
from flows.run.metrics import StoreWatch
from flows.run.status import status_of
from labeling import metrics
from labeling.certify.certificate import accepted_in, certificate_beside
from labeling.export.coco import export_coco
from labeling.ingest.prompts import PromptTable
from labeling.jobs import Job
from labeling.objects import FolderObjects
from labeling.qc.signals import SignalMeter
from labeling.review.gold import Gold, GoldTruth
from labeling.review.items import ItemKey
from labeling.review.queue import ReviewQueue
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from labeling.store.publish import publish
from labeling.store.snapshots import Snapshot, newest_snapshot, read_snapshot, read_verdicts
from labeling.store.versions.card import CARD
from labeling.store.writer import BatchWriter
from tests.labeling.store.made_store import RECIPE, SIZE_HW, box_prompt, mask_of, ref_of, track_row, video_of

VIDEOS, PER_VIDEO = 72, 5


def quality_of(video: int, object_id: int) -> tuple[float, bool]:
    """What the network says of a masklet, in [0, 1], and whether it is bad: most bad ones are doubted, some are not."""
    rng = np.random.default_rng([5, video, object_id])
    bad = bool(rng.random() < 0.08)
    doubted = rng.random() < (0.85 if bad else 0.04)
    return float(rng.uniform(0.2, 0.5) if doubted else rng.uniform(0.85, 0.99)), bad


def write_scored(objects: FolderObjects, job: Job, video: int, scratch: Path) -> None:
    """Write a job's masklets with the quality that the network gives them."""
    of_video = video_of(job.video, 2)
    meters = {object_id: SignalMeter(SIZE_HW, of_video.frame_rate, -1.0) for object_id in job.keys}
    with BatchWriter(
        objects, run_id=job.run_id, video=of_video, batch=job.batch, scratch=scratch, components=job.components
    ) as writer:
        for frame_idx in range(2):
            for object_id, key in job.keys.items():
                mask = replace(mask_of(object_id, frame_idx), predicted_iou=quality_of(video, object_id)[0])
                meters[object_id].add(mask)
                writer.add(object_id, job.label_versions[object_id], key, mask)
        writer.finish([track_row(job, object_id, meter) for object_id, meter in meters.items()])


@cache
def template() -> Path:
    """A store of 360 masklets, published by the default rules, and its queue as a run leaves it; made once."""
    folder = Path(tempfile.mkdtemp(prefix="certify-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    objects = FolderObjects(folder / "labels")
    refs = [ref_of(f"{video}.mp4") for video in range(VIDEOS)]
    table = PromptTable({ref.key: tuple(box_prompt(o) for o in range(PER_VIDEO)) for ref in refs})
    numbers = {ref.video_id: video for video, ref in enumerate(refs)}
    for job in make_plan(refs, table, read_ledger(objects), RECIPE, "run").jobs:
        write_scored(objects, job, numbers[job.video.video_id], folder)
    snapshot = publish(objects, load_config().qc, run_id="run")
    with ReviewQueue(str(folder / "labels" / "review.sqlite")) as queue:
        queue.open_from_snapshot(objects, snapshot)
    return folder / "labels"


class Made:
    """The store, which of its masklets are bad, and a reviewer who sees that."""

    def __init__(self, root: Path) -> None:
        shutil.copytree(template(), root)
        self.root, self.objects = root, FolderObjects(root)
        self.snapshot = read_snapshot(self.objects)
        videos = {ref_of(f"{video}.mp4").video_id: video for video in range(VIDEOS)}
        self.keys = keys_of(self.objects, self.snapshot)
        self.bad = {key for key in self.keys if quality_of(videos[key.video_id], int(key.track_id))[1]}

    def queue(self) -> ReviewQueue:
        return ReviewQueue(str(self.root / "review.sqlite"))

    def review(self, *, at_most: int = 10_000) -> int:
        """Answer what waits for a verdict, in the order that it is given; how many that were."""
        with self.queue() as queue:
            for number in range(at_most):
                lease = queue.claim("ada")
                if lease is None or not lease.item.blind:
                    return number
                queue.decide(lease, "reject" if lease.item.key in self.bad else "accept", seconds=7.5)
        return at_most

    def run(self, *words: str) -> tuple[int, str]:
        told = CliRunner().invoke(app, ["certify", str(self.root), "qc.audit.seed=3", *words])
        return told.exit_code, told.output


def keys_of(objects: FolderObjects, snapshot: Snapshot) -> list[ItemKey]:
    rows = read_verdicts(objects, snapshot).to_pylist()
    return [ItemKey(row["video_id"], row["track_id"], row["label_version"]) for row in rows]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path / "labels")


def test_a_lot_is_drawn_reviewed_and_certified(made: Made) -> None:
    lot = accepted_in(made.objects, made.snapshot)
    assert len(lot) >= 300
    code, told = made.run("--promise", "lot", "--draw", "150")
    assert (code, "d000001: 150 of" in told) == (0, True), told
    code, told = made.run("--promise", "lot")
    assert code == 1
    assert "150 audits are missing" in told.replace("\n", " ")
    assert made.review() > 150
    code, told = made.run("--promise", "lot")
    assert code == 0, told
    newest = newest_snapshot(made.objects)
    certificate = certificate_beside(made.objects, newest.version)
    assert certificate.sentence in " ".join(told.split())
    assert (certificate.audits, certificate.unanswered, certificate.accepted) == (150, 0, len(lot))
    assert certificate.reviewers == {"ada": 150}
    assert len(made.bad & lot) <= certificate.most_bad <= 0.05 * len(lot)
    # What the audit found bad is out of the snapshot that carries the certificate.
    assert certificate.carried_to == newest.name
    assert not accepted_in(made.objects, newest) & made.bad & audited(made)


def audited(made: Made) -> set[ItemKey]:
    with made.queue() as queue:
        return {logged.key for logged in queue.decisions_since()}


def test_the_whole_is_certified_accepted_carried_and_told_everywhere(made: Made, tmp_path: Path) -> None:
    assert made.run("--draw", "240")[0] == 0
    made.review()
    code, told = made.run("--json")
    assert code == 0, told
    said = json.loads(told)
    newest = newest_snapshot(made.objects)
    certificate = certificate_beside(made.objects, newest.version)
    assert said["certificate"]["sha256"] == certificate.digest
    assert newest.qc["accept_risk"] == certificate.threshold
    accepted = accepted_in(made.objects, newest)
    assert certificate.accepted == len(accepted)
    assert len(accepted & made.bad) <= 0.05 * len(made.keys)
    assert said["page"].endswith(f"{newest.name}/certificate.html")
    card = json.loads(made.objects.get(f"snapshots/{newest.name}/{CARD}"))
    assert card["certificate"]["sentence"] == certificate.sentence
    config = load_config([f"store.root={made.root}"])
    standing = status_of(config).standing
    assert (standing.holds, standing.sentence, standing.waiting) == (True, certificate.sentence, 0)
    shown = CliRunner().invoke(app, ["status", str(made.root)]).output
    assert certificate.sentence in " ".join(shown.split())
    assert "labeling_certificate_holds 1.0" in metrics.text(StoreWatch(config)).decode()
    export_coco(str(made.root), tmp_path / "coco.json")
    assert json.loads((tmp_path / "coco.json").read_text())["info"]["certificate"]["sentence"] == certificate.sentence
    export_coco(str(made.root), tmp_path / "all.json", verdicts=["accept", "review"])
    assert "certificate" not in json.loads((tmp_path / "all.json").read_text())["info"]


def test_too_few_audits_accept_nothing_and_say_how_long_the_rest_takes(made: Made) -> None:
    before = newest_snapshot(made.objects)
    code, told = made.run()
    assert (code, "--draw 300" in told) == (1, True)
    made.run("--draw", "100")
    made.review(at_most=60)
    code, told = made.run()
    said = " ".join(told.split())
    assert code == 1
    assert "nothing more is accepted" in said
    assert "audits are missing, about 0:0" in said
    assert "at 8 s each" in said
    assert newest_snapshot(made.objects) == before


def test_what_gold_shows_of_reviewers_is_part_of_the_certificate(made: Made) -> None:
    with made.queue() as queue:
        waiting = queue.list(limit=40)
        for item in waiting[:20]:
            Gold(queue).add(item.key, GoldTruth(item.key not in made.bad, {}, "true masks"))
    made.run("--draw", "240")
    made.review()
    found = json.loads(made.run("--json")[1])
    sensitivity = found["certificate"]["sensitivity"]
    assert sensitivity["known_bad"] == sensitivity["caught"] > 0
    # A few known ones show little of how many others are seen, and the promise is held to that.
    assert sensitivity["lower"] < 0.9
    assert found["bound"] <= 0.05


def test_a_rising_rate_raises_the_alarm_in_status(made: Made) -> None:
    made.run("--draw", "200")
    made.review()
    assert made.run()[0] == 0
    # Another footage: what looks as safe is bad now.
    made.bad |= set(made.keys)
    made.run("--draw", "260")
    made.review()
    config = load_config([f"store.root={made.root}"])
    standing = status_of(config).standing
    assert standing.alarm
    assert not standing.holds
    assert "ALARM" in CliRunner().invoke(app, ["status", str(made.root)]).output
    assert "labeling_certificate_alarm 1.0" in metrics.text(StoreWatch(config)).decode()


@pytest.mark.parametrize("words", [["--error", "0.7"], ["--confidence", "1"], ["--promise", "half"], ["--draw", "0"]])
def test_what_cannot_be_promised_is_refused(made: Made, words: list[str]) -> None:
    assert made.run(*words)[0] != 0
