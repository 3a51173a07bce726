"""Items go to CVAT and Label Studio and come back: what was changed there is a correction, and nothing else is."""

import io
import json
import os
import re
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli.app import run_command
from labeling import rle
from labeling.config import QCConfig, RuleConfig
from labeling.errors import BadInput
from labeling.ingest.listing import ref_of as file_ref
from labeling.ingest.prompts import PromptTable
from labeling.objects import FolderObjects
from labeling.review.cvat import cvat_xml, label_setup, read_cvat
from labeling.review.db.decision_log import audit_log
from labeling.review.exchange import LentItem, ReturnedItem, lend, take_back
from labeling.review.items import ItemStatus
from labeling.review.label_studio import decode_brush, encode_brush, label_config, read_label_studio, tasks_of
from labeling.review.queue import ReviewQueue
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from labeling.store.publish import publish
from labeling.types import VideoRef
from tests.fixtures_clips import write_clip
from tests.labeling.store.made_store import RECIPE, SIZE_HW, box_prompt, mask_of, write_job

STRICT = QCConfig("strict", [RuleConfig("visible_share", "object_lost", "at_least", 0.9, 0.1)])
FIXED_HW = np.zeros(SIZE_HW, bool)
FIXED_HW[5:7, 8:11] = True
FIXED_HW[5, 9] = False
FIXED = rle.encode(FIXED_HW)


@pytest.fixture
def store(tmp_path: Path) -> FolderObjects:
    """A root where objects 1 and 2 of a.mp4 and 1 of b.mp4 wait; all are lost on frames 4 and 5."""
    root, clips = FolderObjects(tmp_path / "store"), tmp_path / "clips"
    clips.mkdir()
    prompts = {"a.mp4": (box_prompt(1, category="car"), box_prompt(2, category="car")), "b.mp4": (box_prompt(1),)}
    refs: list[VideoRef] = []
    for key in prompts:
        made = file_ref(str(write_clip(clips / key, num_frames=6, size_hw=SIZE_HW, rate=Fraction(30000, 1001))))
        refs.append(made)
    by_uri = {ref.key: prompts[Path(ref.uri).name] for ref in refs}
    for job in make_plan(refs, PromptTable(by_uri), read_ledger(root), RECIPE, "one").jobs:
        write_job(root, job, tmp_path / "scratch", lost_after=4)
    return root


@pytest.fixture
def queue(store: FolderObjects, tmp_path: Path, sqlite_template: Path) -> ReviewQueue:
    (tmp_path / "store" / "review.sqlite").write_bytes(sqlite_template.read_bytes())
    queue = ReviewQueue(str(tmp_path / "store" / "review.sqlite"))
    assert queue.open_from_snapshot(store, publish(store, STRICT, run_id="one")).opened == 3
    return queue


def of_video(queue: ReviewQueue, name: str) -> list[str]:
    return sorted(str(item.key) for item in queue.list() if item.video_key.endswith(name))


def decided(queue: ReviewQueue) -> dict[str, tuple[str, list[tuple[int, object]]]]:
    return {str(d.key): (d.action, [(p.frame_idx, p.mask) for p in d.prompts]) for d in queue.decisions_since()}


def test_cvat_and_back_is_one_correction(queue: ReviewQueue, store: FolderObjects, tmp_path: Path) -> None:
    first, second = of_video(queue, "a.mp4")
    text = cvat_xml(lend(queue, store, [first, second])).decode()
    number = queue.get(lend(queue, store, [first])[0].item.key).item_id
    # An 8 x 8 rectangle: no zeros, 64 ones; object 1 begins at x = 3.
    box = '<mask frame="0" keyframe="1" outside="0" occluded="0" left="3" top="4" width="8" height="8" z_order="0" rle="0, 64">'
    assert text.count("<track ") == 2 * 4
    assert text.count(box) == 1
    assert f'label="car" source="auto" group_id="{number}"' in text
    (label,) = label_setup(lend(queue, store, [first, second]))
    assert (label["name"], [a["name"] for a in label["attributes"]]) == ("car", ["item", "accepted"])
    # A reviewer changes frame 2 of the first; CVAT adds the end of each shape, renumbers tracks, drops unknown attributes.
    changed = 'left="8" top="5" width="3" height="2" z_order="0" rle="0, 1, 1, 4"'
    at = text.index(f"{first}</attribute>", text.index('frame="2"'))
    head, tail = text[:at], text[at:]
    start = head.rindex("<mask")
    head = head[:start] + re.sub(r'left=.*?rle="[^"]*"', changed, head[start:])
    returned = re.sub(r'\s*<attribute name="(item|accepted)">[^<]*</attribute>', "", head + tail)
    end = '<mask frame="5" outside="1" rle="1" left="0" top="0" width="1" height="1"/>'
    returned = returned.replace("</track>", f"{end}</track>")
    with zipfile.ZipFile(tmp_path / "back.zip", "w") as out:
        out.writestr("annotations.xml", returned)
    taken = list(take_back(queue, store, read_cvat(tmp_path / "back.zip"), reviewer="ada", note="from cvat"))
    unchanged = ("left", "no mask changed and nobody accepted it")
    assert [(t.action, t.detail) for t in taken] == [("correct", "frames 2"), unchanged]
    assert decided(queue) == {first: ("correct", [(2, FIXED)])}
    again = list(take_back(queue, store, read_cvat(tmp_path / "back.zip"), reviewer="ada", note="from cvat"))
    assert [t.detail for t in again] == ["it is decided already", "no mask changed and nobody accepted it"]
    assert audit_log(queue.database).num_decisions == 1


def test_a_group_that_cvat_numbered_anew_decides_nothing(queue: ReviewQueue, store: FolderObjects) -> None:
    first, _ = of_video(queue, "a.mp4")
    (taken,) = take_back(queue, store, [ReturnedItem(first, {0: FIXED, 1: FIXED}, certain=False)], reviewer="ada", note="")
    assert (taken.action, decided(queue)) == ("left", {})
    assert "a group alone names it" in taken.detail


def label_studio_tasks(queue: ReviewQueue, store: FolderObjects, names: list[str]) -> list[dict]:
    """The tasks after a team submitted all of them unchanged, three seconds each."""
    tasks = json.loads(json.dumps(list(tasks_of(lend(queue, store, names), image_url="http://pictures/"))))
    for task in tasks:
        (given,) = task.pop("predictions")
        task["annotations"] = [{"result": given["result"], "was_cancelled": False, "lead_time": 3.0}]
    return tasks


def test_label_studio_and_back_is_one_correction_and_one_acceptance(
    queue: ReviewQueue, store: FolderObjects, tmp_path: Path
) -> None:
    first, second = of_video(queue, "a.mp4")
    (other,) = of_video(queue, "b.mp4")
    tasks = label_studio_tasks(queue, store, [first, second, other])
    assert len(tasks) == 3 * 6
    assert [len(task["annotations"][0]["result"]) for task in tasks[:6]] == [1, 1, 1, 1, 0, 0]
    region = tasks[2]["annotations"][0]["result"][0]
    assert decode_brush(region["value"]["rle"], SIZE_HW) == mask_of(1, 2).rle
    assert (region["type"], region["original_width"], region["value"]["brushlabels"]) == ("brushlabels", SIZE_HW[1], ["car"])
    region["value"]["rle"] = encode_brush(FIXED)
    tasks[-1]["annotations"] = []   # nobody looked at the last frame of the other video
    (tmp_path / "back.json").write_text(json.dumps(tasks))
    taken = list(take_back(queue, store, read_label_studio(tmp_path / "back.json"), reviewer="ada", note=""))
    assert [t.action for t in taken] == ["correct", "accept", "left"]
    assert decided(queue) == {first: ("correct", [(2, FIXED)]), second: ("accept", [])}
    assert [d.seconds for d in queue.decisions_since()] == [18.0, 18.0]


def test_a_new_mask_is_a_correction_and_so_is_one_that_was_taken_away(queue: ReviewQueue, store: FolderObjects) -> None:
    first, second = of_video(queue, "a.mp4")
    (other,) = of_video(queue, "b.mp4")
    masks = dict(lend(queue, store, [first])[0].masks)
    added, fewer = masks | {4: FIXED}, {f: m for f, m in lend(queue, store, [second])[0].masks.items() if f != 1}
    returned = [ReturnedItem(first, added), ReturnedItem(second, fewer, accepted=True), ReturnedItem(other, {}, accepted=True)]
    taken = list(take_back(queue, store, returned, reviewer="ada", note=""))
    assert [(t.action, t.detail) for t in taken[:2]] == [("correct", "frames 4"), ("correct", "absent on 1")]
    assert (taken[2].action, "all of its masks are gone" in taken[2].detail) == ("left", True)
    assert decided(queue) == {first: ("correct", [(4, FIXED)]), second: ("correct", [(1, rle.empty(SIZE_HW))])}


def test_what_does_not_fit_changes_nothing(queue: ReviewQueue, store: FolderObjects) -> None:
    first, second = of_video(queue, "a.mp4")
    good = ReturnedItem(first, {0: FIXED}, accepted=True)
    for bad, said in (
        (ReturnedItem(second, {9: FIXED}), "frame 9: the object was not tracked there"),
        (ReturnedItem(second, {0: rle.empty((2, 2))}), r"the mask is \(2, 2\)"),
        (ReturnedItem("77", {}), "item is '77'"),
    ):
        with pytest.raises(BadInput, match=said):
            list(take_back(queue, store, [good, bad], reviewer="ada", note=""))
    assert not decided(queue)
    queue.decide(lend(queue, store, [first])[0].item.item_id, "reject", reviewer="ada")
    with pytest.raises(BadInput, match="is decided; expected one that waits"):
        lend(queue, store, [first])
    with pytest.raises(BadInput, match="items are of 2 videos"):
        cvat_xml(lend(queue, store, [second, *of_video(queue, "b.mp4")]))


def one_task(**changed: object) -> list[dict]:
    task = {"data": {"item": "1", "frame": 0, "frames": 1}, "annotations": [{"result": []}]}
    return [{**task, **changed}]


BOX = [{"result": [{"type": "rectanglelabels", "value": {}}]}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read"), ("{}", "no list of tasks"), (one_task(data={}), "task 1: 'item' is missing"),
        (one_task(annotations=BOX), "task 1: region is 'rectanglelabels'"), ([1], "task 1"),
        (one_task(annotations=[{"result": []}] * 2), "keep the one that holds"),
    ],
    ids=["cut", "no list", "no item", "a box", "a number", "two"],
)
def test_bad_json_is_named(tmp_path: Path, content: object, said: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(BadInput, match=said) as caught:
        read_label_studio(path)
    assert str(path) in str(caught.value)


def swap(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[:-40], "is no XML"), (swap("annotations", "notes"), "begins with <notes>"),
        (lambda text: '<!DOCTYPE a [<!ENTITY b "c">]>' + text, "declares a document type"),
        (swap('rle="0, 64"', 'rle="0, 63"'), "track 0, frame 0: rle is '63 pixels'"),
        (swap('left="3"', 'left="-3"'), "left is '-3'"),
        (swap('left="3"', 'left="30"'), "a box inside the video's"), (swap('frame="0"', 'frame="x"'), "frame is 'x'"),
        (lambda text: re.sub(r"(?s)<track .*</track>", "", text), "no track holds"),
        (lambda text: re.sub(r"group_id=.\d+.", "", text).replace('"item"', '"other"'), "a mask of no item"),
        (lambda text: re.sub(r"(?s)<original_size>.*</original_size>", "", text), "original_size is"),
        (lambda text: text.replace("<mask", "<polygon").replace("</mask", "</polygon"), "a polygon"),
    ],
)
def test_bad_xml_is_named(
    queue: ReviewQueue, store: FolderObjects, tmp_path: Path, change: Callable[[str], str], said: str
) -> None:
    path, text = tmp_path / "bad.xml", cvat_xml(lend(queue, store, of_video(queue, "a.mp4"))).decode()
    path.write_text(change(text.partition("?>")[2].strip()))
    with pytest.raises(BadInput, match=said) as caught:
        read_cvat(path)
    assert str(path) in str(caught.value)


def test_the_commands_lend_and_take_back(
    queue: ReviewQueue, store: FolderObjects, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = of_video(queue, "a.mp4")
    here, xml, tasks = f"store.root={tmp_path / 'store'}", tmp_path / "a.xml", tmp_path / "b.json"
    assert run_command(["review", "export", "cvat", first, second, here, "-o", str(xml)]) == 0
    ours = xml.read_text()
    assert run_command(["review", "export", "cvat", second, here, "-o", str(xml)]) == 0, "an earlier export may be replaced"
    xml.write_text(ours.replace("'1.0'", '"1.0"'))
    assert run_command(["review", "export", "cvat", first, here, "-o", str(xml)]) == 2, "what came back from CVAT may not"
    assert run_command(["review", "export", "label-studio", first, here, "-o", str(xml)]) == 2
    assert xml.read_text() == ours.replace("'1.0'", '"1.0"')
    assert run_command(["review", "import", "cvat", str(xml), here, "--accept-unchanged", "--reviewer", "ada"]) == 0
    assert {action for action, _ in decided(queue).values()} == {"accept"}
    (other,) = of_video(queue, "b.mp4")
    beside = ["review", "export", "label-studio", other, here, "-o", str(tmp_path / "a.json")]
    assert run_command(beside) == 2, "its setup would take the place of a.xml"
    assert run_command(["review", "export", "label-studio", other, here, "-o", str(tasks), "--every", "2"]) == 0
    task_data = [task["data"] for task in json.loads(tasks.read_text())]
    assert [(data["frame"], data["frames"]) for data in task_data] == [(0, 3), (2, 3), (4, 3)]
    assert task_data[0]["image"].startswith("/data/local-files/?d=b_frames/")
    pictures = sorted((tmp_path / "b_frames").iterdir())
    assert [picture.name for picture in pictures] == [data["image"].rpartition("/")[2] for data in task_data]
    with Image.open(pictures[0]) as picture:
        assert picture.size == SIZE_HW[::-1]
    assert 'Label value="object"' in tasks.with_suffix(".xml").read_text()
    capsys.readouterr()
    # Pre-annotations that nobody submitted say nothing.
    back = [task | {"annotations": []} for task in json.loads(tasks.read_text())]
    tasks.write_text(json.dumps(back))
    assert run_command(["review", "import", "label-studio", str(tasks), here]) == 0
    assert "nobody accepted it" in capsys.readouterr().out
    assert queue.counts()[ItemStatus.OPEN] == 1
    assert run_command(["review", "import", "label-studio", str(tasks), here, "--accept-unchanged"]) == 2
    assert run_command(["review", "export", "cvat", here, "-o", str(xml)]) == 2


def test_a_setup_names_each_label_once(queue: ReviewQueue, store: FolderObjects) -> None:
    lent: list[LentItem] = lend(queue, store, [*of_video(queue, "a.mp4"), *of_video(queue, "b.mp4")])
    assert label_config(lent).count("<Label ") == 2


def cvat_file(*, size: object = 128, runs: str = "12288", item: object = 1, frame: object = 0, inside: str = "") -> str:
    sides = f"<width>{size}</width><height>{96 if size == 128 else size}</height>"
    box = f'frame="{frame}" outside="0" left="0" top="0" width="{size}" height="{96 if size == 128 else size}" rle="{runs}"'
    return (
        f"<annotations><meta><task><original_size>{sides}</original_size></task></meta><track id='0' label='x'>"
        f"<mask {box}>{inside}<attribute name='item'>{item}</attribute></mask></track></annotations>"
    )


def zipped(body: bytes, name: str = "annotations.xml") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(name, body)
    return out.getvalue()


def locked(body: bytes) -> bytes:
    packed = bytearray(body)
    packed[6] |= 1
    packed[packed.index(b"PK\1\2") + 8] |= 1
    return bytes(packed)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (cvat_file(runs="9223372036854775807, 9223372036854775807, 12290"), "track 0, frame 0: rle is"),
        (cvat_file(runs="9" * 30), "run lengths up to 12288"), (cvat_file(runs="-5, 12293"), "rle is '-5"),
        (cvat_file(runs="\u0661"), "rle is"), (cvat_file(size=10**6, runs=str(10**12)), "original_size is '1000000'"),
        (cvat_file(size=1 << 14, runs=str(1 << 28)), "1 to 67108864 pixels"),
        (cvat_file(size=2048, runs=",".join(["2048"] * 2048)), "changes down its columns"),
        (cvat_file(item="9" * 40), "track 0, frame 0: item is"), (cvat_file(frame="9" * 5000), "frame is '9999"),
        (cvat_file(inside="<a/>" * 20_000), "too many elements in one"),
        ("<annotations>" + "<a>" * 10_000, "too many elements"),
        (b"<annotations " + b"a" * (5 << 20), "over 4194304 bytes long"),
        (cvat_file().encode("utf-16"), "not UTF-8"), (zipped(b" " * (5 << 20)), "over 4194304 bytes long"),
        (locked(zipped(b"x")), "encrypted"), (zipped(b"x", "../annotations.xml"), "has no annotations.xml"),
        (zipped(cvat_file().encode())[:-9], "."),
        (zipped(b"x").replace((1).to_bytes(4, "little") * 2, (1).to_bytes(4, "little") + b"\xff\xff\xff\x7f"), "."),
    ],
)
def test_what_would_blow_up_in_the_reader_is_named(tmp_path: Path, body: str | bytes, said: str) -> None:
    path = tmp_path / "bad.xml"
    path.write_bytes(body if isinstance(body, bytes) else body.encode())
    with pytest.raises(BadInput, match=said) as caught:
        read_cvat(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 1000


def test_few_runs_cost_little_however_large_the_frame_is(tmp_path: Path) -> None:
    path = tmp_path / "large.xml"
    path.write_text(cvat_file(size=8192, runs=f"5, {8192 * 8192 - 5}"))
    (returned,) = read_cvat(path)
    assert rle.runs_of(returned.masks[0]).tolist()[:5] == [1, 8191, 1, 8191, 1]


def test_a_mask_in_a_box_comes_into_its_frame(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for share in (0.05, 0.5, 0.95, 1.0):
        for height, width, top, left in ((4, 5, 0, 0), (2, 5, 1, 0), (3, 2, 0, 3), (1, 1, 3, 4)):
            full_HW, part_HW = np.zeros((4, 5), bool), rng.random((height, width)) < share
            part_HW[0, 0] = True
            full_HW[top : top + height, left : left + width] = part_HW
            flat = part_HW.ravel()
            runs = [0, *np.diff(np.flatnonzero(flat[1:] != flat[:-1]) + 1, prepend=0, append=flat.size).tolist()]
            text = cvat_file(runs=", ".join(map(str, runs)))
            for old, new in (
                ("<width>128<", "<width>5<"), ("<height>96<", "<height>4<"), ('left="0"', f'left="{left}"'),
                ('top="0"', f'top="{top}"'), ('width="128"', f'width="{width}"'), ('height="96"', f'height="{height}"'),
            ):
                text = text.replace(old, new)
            (tmp_path / "m.xml").write_text(text)
            assert read_cvat(tmp_path / "m.xml")[0].masks[0] == rle.encode(full_HW)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[" * 100_000, "nested too deep"), (b"[" + b"9" * 10_000 + b"]", "cannot be read"),
        (b'[[' + b"[]," * (2 << 21) + b"[]]]", "task 1 of the list is of over 4194304 letters"),
        (b"null", "no list of tasks"), (b"", "no list of tasks"), (b"[]", "no list of tasks"), (b"[1 2]", "task 1"),
        (b"\xff\xfe[\0", "cannot be read"), (b'[{"data": {}}]', "task 1: 'item' is missing"),
    ],
)
def test_json_that_would_blow_up_in_the_reader_is_named(tmp_path: Path, body: bytes, said: str) -> None:
    (tmp_path / "bad.json").write_bytes(body)
    with pytest.raises(BadInput, match=said) as caught:
        read_label_studio(tmp_path / "bad.json")
    assert len(str(caught.value)) < 1000


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (read_cvat, read_label_studio):
        with pytest.raises(BadInput, match="no regular file"):
            read(tmp_path / "pipe")


def test_a_label_that_xml_cannot_hold_is_written_without(queue: ReviewQueue, store: FolderObjects) -> None:
    (first, *_) = lend(queue, store, of_video(queue, "a.mp4"))
    odd = replace(first, item=replace(first.item, category="a\x0b<b>&\"\ud800"))
    text = cvat_xml([odd]).decode()
    assert "a\ufffd&lt;b&gt;" in text
    assert ET.fromstring(text).find("track").get("label") == "a\ufffd<b>&\"\ufffd"  # type: ignore[union-attr]
    assert ET.fromstring(label_config([odd]).encode()) is not None
