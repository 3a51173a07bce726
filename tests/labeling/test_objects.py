"""One contract, two places: a folder and S3."""

import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from labeling.errors import BadConfiguration, Unavailable
from labeling.objects import FolderObjects, Objects, open_objects, split_uri

ODD_KEYS = [
    "a b.txt", "a+b%20c.txt", ".hidden/x", "uml\u00e4ut/\u6620\u50cf.mp4", "a.txt", "a/b.txt", "a-b", "deep/er/x=1/y&z?.bin",
]


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "folder":
        return open_objects(tmp_path / "root")
    return open_objects(request.getfixturevalue("s3") + "/some where")


def test_what_is_put_is_got_listed_and_deleted(place: Objects) -> None:
    etag = place.put("x/y.bin", b"\0one")
    found = place.stat("x/y.bin")
    assert found is not None
    assert (found.key, found.num_bytes, found.etag) == ("x/y.bin", 4, etag)
    assert place.get("x/y.bin") == b"\0one"
    assert list(place.list()) == [found]
    assert place.put("x/y.bin", b"\0two") != etag
    assert place.get("x/y.bin") == b"\0two"
    place.delete("x/y.bin")
    place.delete("x/y.bin")
    assert place.stat("x/y.bin") is None
    assert list(place.list()) == []


def test_parts_of_an_object(place: Objects) -> None:
    place.put("letters", b"abcdef")
    asked = [(0, 2), (4, 6), (4, 99), (6, 9), (50, 60), (3, 3)]
    assert [place.get_range("letters", *span) for span in asked] == [b"ab", b"ef", b"ef", b"", b"", b""]
    with pytest.raises(FileNotFoundError):
        place.get_range("no/such", 0, 1)


def test_odd_keys_come_back_in_the_order_of_their_bytes(place: Objects) -> None:
    for key in ODD_KEYS:
        place.put(key, key.encode())
    listed = [found.key for found in place.list()]
    assert listed == sorted(ODD_KEYS, key=str.encode)
    assert [place.get(key) for key in ODD_KEYS] == [key.encode() for key in ODD_KEYS]


def test_a_prefix_is_a_start_of_the_key_not_a_folder(place: Objects) -> None:
    for key in ("run/a/1", "run/ab/2", "run/b", "running"):
        place.put(key, b"")
    assert [f.key for f in place.list("run/a")] == ["run/a/1", "run/ab/2"]
    assert [f.key for f in place.list("run/a/")] == ["run/a/1"]
    assert [f.key for f in place.list("run")] == ["run/a/1", "run/ab/2", "run/b", "running"]
    assert list(place.list("nowhere/")) == []


@pytest.mark.parametrize("key", ["../out", "a/../b", "", "a/.~x.beside"])
def test_keys_that_leave_the_root_or_are_kept_are_refused(place: Objects, key: str) -> None:
    for call in (place.get, place.stat, place.delete, lambda k: place.put(k, b"")):
        with pytest.raises(ValueError, match="key is"):
            call(key)


def test_a_missing_object_is_named_by_its_uri(place: Objects, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as got:
        place.get("no/such")
    assert place.uri("no/such") in str(got.value)
    with pytest.raises(FileNotFoundError):
        place.download("no/such", tmp_path / "copy")
    assert not list(tmp_path.glob("*copy*"))


def test_only_the_first_of_many_writers_takes_an_absent_key(place: Objects) -> None:
    won: list[bytes] = []

    def write(body: bytes) -> None:
        if place.put_if_absent("lock", body):
            won.append(body)

    place.put("other", b"")
    threads = [threading.Thread(target=write, args=(b"%d" % n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert place.get("lock") == won[0]
    assert place.put_if_absent("lock", won[0]) is False


def test_compare_and_set_fails_once_the_object_moved_on(place: Objects) -> None:
    first = place.put("beat", b"1")
    assert place.put_if_match("beat", b"2", first) is True
    assert place.put_if_match("beat", b"3", first) is False
    assert place.get("beat") == b"2"
    place.delete("beat")
    assert place.put_if_match("beat", b"4", first) is False
    assert place.stat("beat") is None


def test_files_go_up_and_down_whole(place: Objects, tmp_path: Path) -> None:
    big = tmp_path / "big.bin"
    big.write_bytes(os.urandom(1 << 20) * 9)  # over the size at which boto3 sends parts
    etag = place.put_file("big", big)
    found = place.stat("big")
    assert found is not None
    assert (found.num_bytes, found.etag) == (9 << 20, etag)
    place.download("big", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == big.read_bytes()
    assert [f.key for f in place.list()] == ["big"]


def test_places_pickle(place: Objects) -> None:
    place.put_if_absent("a", b"1")
    again = pickle.loads(pickle.dumps(place))
    assert again.root == place.root
    assert again.get("a") == b"1"
    assert again.put_if_absent("a", b"2") is False


def test_root_and_key_come_back_from_a_uri(place: Objects) -> None:
    place.put("in/a b+c%20.mp4", b"v")
    root, key = split_uri(place.uri("in/a b+c%20.mp4"))
    assert key == "a b+c%20.mp4"
    assert open_objects(root).get(key) == b"v"


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://bucket/", "", "gs://b/k", "/"])
def test_a_uri_without_an_object_is_refused(uri: str) -> None:
    with pytest.raises(BadConfiguration, match="expected"):
        split_uri(uri)


@pytest.mark.parametrize("root", ["gs://b", "", "s3://", "s3://b/../c"])
def test_a_root_of_no_known_kind_is_refused(root: str) -> None:
    with pytest.raises(BadConfiguration, match="expected"):
        open_objects(root)


def test_file_uris_are_unquoted(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    open_objects((tmp_path / "a b").as_uri()).put("k", b"1")
    assert (tmp_path / "a b" / "k").read_bytes() == b"1"
    assert split_uri((tmp_path / "a b" / "k").as_uri()) == (str(tmp_path / "a b"), "k")
    assert split_uri("file://localhost/a/k#1?") == ("/a", "k#1?")
    for elsewhere in ("file://nas/a", "file://a/b.jsonl", "file://"):
        with pytest.raises(BadConfiguration, match="another machine, or a relative path"):
            open_objects(elsewhere)


def test_a_file_is_no_root(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(BadConfiguration, match="is a file"):
        open_objects(tmp_path / "f")


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    elsewhere, root = tmp_path / "elsewhere", tmp_path / "root"
    FolderObjects(elsewhere).put("v", b"1")
    place = FolderObjects(root)
    place.put("a/b", b"2")
    (root / "linked").symlink_to(elsewhere)
    (root / "a" / "up").symlink_to(root)
    (root / "broken").symlink_to(tmp_path / "nothing")
    assert [f.key for f in place.list()] == ["a/b", "linked/v"]


COUNT_UP = """
import sys
from labeling.objects import FolderObjects
place = FolderObjects(sys.argv[1])
for _ in range(25):
    while True:
        etag = place.stat("n").etag
        if place.put_if_match("n", b"%d" % (int(place.get("n")) + 1), etag):
            break
"""


def test_no_update_is_lost_among_processes(tmp_path: Path) -> None:
    FolderObjects(tmp_path).put("n", b"0")
    workers = [subprocess.Popen([sys.executable, "-c", COUNT_UP, str(tmp_path)]) for _ in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert FolderObjects(tmp_path).get("n") == b"75"


def test_what_a_killed_writer_left_is_not_listed(tmp_path: Path) -> None:
    place = FolderObjects(tmp_path)
    place.put("a", b"1")
    (tmp_path / ".~0123.beside").write_bytes(b"half")
    assert [f.key for f in place.list()] == ["a"]


def test_what_killed_writers_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    objects.put("masks/a", b"x")
    script = (
        "import os, signal, sys\nfrom labeling.objects import FolderObjects\n"
        "with FolderObjects(sys.argv[1])._staged('masks/b', b'half'):\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", script, tmp_path], check=False).returncode == -signal.SIGKILL
    old, young = (tmp_path / "masks" / f".~{digit * 32}.beside" for digit in "01")
    mine = [tmp_path / "masks" / name for name in (".~notes.beside", f".~{'2' * 32}.beside.txt")]
    for path in (old, young, *mine):
        path.write_bytes(b"x")
    for path in (old, *mine):
        os.utime(path, (1, 1))
    with objects._staged("masks/c", b"being written") as written:
        assert objects.sweep() == 2
        assert written.exists()
    assert sorted(tmp_path.glob("masks/.~*")) == sorted([young, *mine])
    assert [stat.key for stat in objects.list()] == ["masks/a", f"masks/.~{'2' * 32}.beside.txt"][::-1]


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    for write in (objects.put, objects.put_if_absent):
        with pytest.raises(Unavailable, match=r"folder\.json.*move"):
            write("folder.json", b"x")
    (tmp_path / "link.json").symlink_to("nowhere")
    with pytest.raises(Unavailable, match=r"link\.json is a link that leads nowhere"):
        objects.put_if_absent("link.json", b"x")
    with pytest.raises(Unavailable, match=r"pipe\.json is no ordinary file"):
        objects.get("pipe.json")
    with pytest.raises(FileNotFoundError):
        objects.get("folder.json")
