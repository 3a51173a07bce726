"""Which videos a source has: the same from a folder and from S3."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labeling.config import SourceConfig
from labeling.errors import BadConfiguration, BadInput
from labeling.ingest.fetch import fetch_video
from labeling.ingest.listing import MISSING, list_videos, ref_of, video_id_of, why_not_listed, why_source_is_gone
from labeling.objects import Objects, open_objects

FILES = ["a.mp4", "a/z.MOV", "b c+%.mkv", "day/1.mp4", "day/2.webm", "notes.txt", "day/._1.mp4", "raw.bin"]
VIDEOS = ["a.mp4", "a/z.MOV", "b c+%.mkv", "day/1.mp4", "day/2.webm"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(params=["folder", "s3"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    root = str(tmp_path / "videos") if request.param == "folder" else request.getfixturevalue("s3") + "/raw"
    objects = open_objects(root)
    for key in FILES:
        objects.put(key, key.encode())
    return objects


def keys(**config: Any) -> list[str]:
    return [ref.key for ref in list_videos(SourceConfig(**config))]


def test_videos_come_in_key_order_and_other_files_do_not(source: Objects) -> None:
    refs = list(list_videos(SourceConfig(uri=source.root)))
    assert [ref.key for ref in refs] == VIDEOS
    for ref in refs:
        assert ref.video_id == hashlib.sha256(ref.key.encode()).hexdigest()[:16]
        assert ref.uri == source.uri(ref.key)
        assert ref.num_bytes == len(ref.key)


def test_glob_and_limit(source: Objects) -> None:
    assert keys(uri=source.root, glob="day/**") == ["day/1.mp4", "day/2.webm"]
    assert keys(uri=source.root, glob="*.mp4") == ["a.mp4"]
    assert keys(uri=source.root, glob="**/*.bin") == ["raw.bin"]
    assert keys(uri=source.root, limit=2) == VIDEOS[:2]
    assert keys(uri=source.root, limit=0) == []


def test_the_content_id_follows_the_content_alone(source: Objects) -> None:
    before = {r.key: r.content_id for r in list_videos(SourceConfig(uri=source.root))}
    assert {r.key: r.content_id for r in list_videos(SourceConfig(uri=source.root))} == before
    source.put("a.mp4", b"a.MP4")
    source.put("day/1.mp4", b"day/1.mp4")  # the same bytes again
    after = {r.key: r.content_id for r in list_videos(SourceConfig(uri=source.root))}
    assert [key for key in VIDEOS if after[key] != before[key]] == ["a.mp4"]


ROWS: list[dict[str, Any]] = [
    {"video": "day/1.mp4", "split": "train"}, {"video": "a.mp4"}, {"video": "gone.mp4"}, {"video": "a.mp4"},
]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_manifest_names_its_videos(source: Objects, suffix: str, tmp_path: Path) -> None:
    rows = [*ROWS, {"video": source.uri("raw.bin")}]
    body = tmp_path / "body"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), body)
    elif suffix == "csv":
        body.write_text("split,video\n" + "".join(f"{row.get('split', '')},{row['video']}\n" for row in rows))
    else:
        body.write_text("".join(json.dumps(row) + "\n" for row in rows))
    open_objects(source.root).put_file(f"lists/m.{suffix}", body)
    manifest = source.uri(f"lists/m.{suffix}")
    refs = list(list_videos(SourceConfig(uri=source.root, manifest=manifest)))
    assert [ref.key for ref in refs] == ["a.mp4", "day/1.mp4", "gone.mp4", "raw.bin"]
    listed = {ref.key: ref for ref in list_videos(SourceConfig(uri=source.root))}
    assert refs[:2] == [listed["a.mp4"], listed["day/1.mp4"]]
    assert (refs[2].content_id, refs[2].num_bytes, refs[2].uri) == (MISSING, 0, source.uri("gone.mp4"))
    if suffix == "csv":
        assert keys(uri=source.root, manifest=manifest, glob="*/*", limit=1) == ["day/1.mp4"]


def test_what_a_manifest_names_and_is_not_there_is_a_missing_video(source: Objects, tmp_path: Path) -> None:
    source.put("m.jsonl", b'{"video": "gone.mp4"}\n')
    (ref,) = list_videos(SourceConfig(manifest=source.uri("m.jsonl")))
    with pytest.raises(BadInput, match="does not exist") as got, fetch_video(ref, tmp_path / "scratch"):
        pass
    assert got.value.reason == "missing_video"


def test_a_manifest_may_name_its_root(source: Objects, tmp_path: Path) -> None:
    manifest = tmp_path / "elsewhere" / "m.jsonl"
    manifest.parent.mkdir()
    manifest.write_text(json.dumps({"root": source.root}) + '\n{"video": "day/1.mp4"}\n')
    assert keys(manifest=str(manifest)) == ["day/1.mp4"]


def test_a_local_root_in_a_manifest_lies_beside_it(tmp_path: Path) -> None:
    open_objects(tmp_path / "videos").put("x/1.mp4", b"1")
    (tmp_path / "m.jsonl").write_text('{"root": "videos", "video": "x/1.mp4"}\n')
    assert keys(manifest=str(tmp_path / "m.jsonl")) == ["x/1.mp4"]


def test_a_long_manifest_is_looked_up_in_one_listing(source: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(70):
        source.put(f"many/{n:03d}.mp4", b"1")
    source.put("m.csv", ("video\n" + "".join(f"many/{n:03d}.mp4\n" for n in range(71))).encode())
    monkeypatch.setattr(type(source), "stat", lambda self, key: pytest.fail("one request a video"))
    refs = list(list_videos(SourceConfig(uri=source.root, manifest=source.uri("m.csv"))))
    assert [ref.content_id == MISSING for ref in refs] == [False] * 70 + [True]


def test_a_uri_outside_the_root_becomes_a_key_that_stays_a_path(source: Objects, tmp_path: Path) -> None:
    outside = tmp_path / "outside.mp4"
    outside.write_bytes(b"v")
    source.put("m.jsonl", json.dumps({"video": str(outside)}).encode())
    (ref,) = list_videos(SourceConfig(manifest=source.uri("m.jsonl")))
    assert (ref.key, ref.uri) == (f"file{outside}", str(outside))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"video": "a"}\n{broken\n', "line 2"),
        (b'{"video": 7}\n', "line 1.*video is 7"),
        (b'{"video": "../a.mp4"}\n', "line 1.*key is"),
        (b'{"name": "a"}\n', "line 1.*video is None"),
        (b'{"video": "a.mp4", "root": "nowhere"}\n', "line 1.*nowhere does not exist"),
    ],
)
def test_a_bad_manifest_says_where(body: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_bytes(body)
    with pytest.raises(BadConfiguration, match=message):
        keys(manifest=str(tmp_path / "m.jsonl"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "source.uri and source.manifest are empty"),
        ({"uri": "/no/such/folder"}, "does not exist; expected a folder"),
        ({"uri": "gs://bucket"}, "scheme"),
        ({"uri": ".", "limit": -1}, "source.limit is -1"),
        ({"manifest": "/no/such/m.jsonl"}, "does not exist"),
        ({"manifest": "/no/such/m.txt"}, "known suffix"),
    ],
)
def test_a_source_that_cannot_be_listed_is_a_configuration_error(config: dict[str, Any], message: str) -> None:
    with pytest.raises(BadConfiguration, match=message):
        keys(**config)


def test_a_missing_bucket_is_a_configuration_error(s3: str) -> None:
    with pytest.raises(BadConfiguration, match="create it"):
        keys(uri="s3://no-such-bucket-here")


def test_one_video_by_itself(source: Objects) -> None:
    ref = ref_of(source.uri("day/1.mp4"))
    (listed,) = list_videos(SourceConfig(uri=source.root, glob="day/1.mp4"))
    assert (ref.key, ref.video_id) == ("1.mp4", video_id_of("1.mp4"))
    assert (ref.content_id, ref.num_bytes, ref.uri) == (listed.content_id, listed.num_bytes, listed.uri)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        ref_of(source.uri("none.mp4"))


def test_a_name_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clip\udcff.mp4"
    path.write_bytes(b"video")
    with pytest.raises(BadInput, match=r"clip\\udcff.mp4' has a name that is not UTF-8; rename it"):
        ref_of(str(path))


def test_a_pipe_among_the_videos_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    open_objects(str(tmp_path)).put("a.mp4", b"video")
    os.mkfifo(tmp_path / "pipe.mp4")
    assert keys(uri=str(tmp_path)) == ["a.mp4"]
    assert "pipe.mp4 is left out: it is no regular file" in caplog.text


def test_what_is_no_file_of_the_folder_is_passed_over_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, outside = tmp_path / "source", tmp_path / "outside"
    for folder in (source, outside):
        folder.mkdir()
    (source / "a.mp4").write_bytes(b"a")
    (outside / "b.mp4").write_bytes(b"b")
    os.mkfifo(source / "pipe.mp4")
    (source / "within.mp4").symlink_to("a.mp4")
    (source / "out.mp4").symlink_to(outside / "b.mp4")
    (source / "gone.mp4").symlink_to("nothing.mp4")
    (source / "folder.mp4").mkdir()
    (source / "loop").symlink_to(source)
    assert keys(uri=str(source)) == ["a.mp4", "within.mp4"]
    assert "out.mp4 is passed over: it is a link that leads out of the source" in caplog.text
    config = SourceConfig(uri=str(source))
    told = {name: why_not_listed(config, f"{name}.mp4") for name in ("pipe", "out", "gone", "folder", "absent", "a\0")}
    assert told["out"].startswith(f"it is a link that leads out of the source, to {outside / 'b.mp4'}")
    assert "pipe" in told["pipe"]
    assert "which is not there" in told["gone"]
    assert "folder" in told["folder"] or "directory" in told["folder"]
    assert (told["absent"], told["a\0"]) == ("", "")


def test_a_source_of_which_nothing_is_left_is_told_from_one_that_lacks_a_video(source: Objects) -> None:
    config = SourceConfig(uri=source.root)
    source.delete("a.mp4")
    assert why_source_is_gone(config, config.uri) == ""
    for key in VIDEOS[1:]:
        source.delete(key)
    assert "holds no video any more" in why_source_is_gone(config, config.uri)
    assert "does not exist" in why_source_is_gone(SourceConfig(uri=f"{source.root}-gone/x"), "") or source.root.startswith("s3://")
    of_manifest = SourceConfig(uri=source.root, manifest="list.jsonl")
    assert why_source_is_gone(of_manifest, f"{source.root}/a.mp4") == "", "what it names may lie anywhere"
