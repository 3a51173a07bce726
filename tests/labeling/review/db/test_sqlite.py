"""The queue's file: whose eyes it is for, reading it without a trace, and what is said of one that cannot be used."""

import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from labeling.errors import LabelingError, Unavailable
from labeling.review.db import sqlite
from labeling.review.db.database import VERSION_TABLE, open_database
from labeling.review.queue import ReviewQueue
from tests.fixtures_rights import without_rights
from tests.labeling.review.samples import item


@pytest.fixture
def path(tmp_path: Path, sqlite_template: Path) -> Path:
    """A queue with one item, closed."""
    shutil.copyfile(sqlite_template, tmp_path / "queue.sqlite")
    with ReviewQueue(str(tmp_path / "queue.sqlite")) as queue:
        queue.open_items([item(1)])
    return tmp_path / "queue.sqlite"


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_queue_is_for_its_owner_alone(tmp_path: Path) -> None:
    with ReviewQueue(str(tmp_path / "below" / "queue.sqlite")) as queue:
        queue.open_items([item(1)])
        files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "below").iterdir()}
    assert files == dict.fromkeys(("queue.sqlite", "queue.sqlite-wal", "queue.sqlite-shm"), 384)


def test_reading_leaves_nothing_behind_and_writes_nothing(path: Path) -> None:
    before = path.read_bytes()
    with ReviewQueue(str(path), reading=True) as queue:
        assert [entry.item_id for entry in queue.list()] == [1]
        with pytest.raises(Unavailable, match="readonly database; it can be read but not written to"):
            queue.claim("ada")
    assert (_names(path.parent), path.read_bytes()) == (["queue.sqlite"], before)
    with pytest.raises(Unavailable, match="nothing-here cannot be opened: No such file"):
        ReviewQueue(str(path.parent / "nothing-here"), reading=True)
    assert _names(path.parent) == ["queue.sqlite"]


def test_reading_sees_what_others_have_just_written(path: Path) -> None:
    with ReviewQueue(str(path)) as writer:
        writer.open_items([item(2)])
        with ReviewQueue(str(path), reading=True) as reader:
            assert len(reader.list()) == 2
            writer.open_items([item(3)])
            assert len(reader.list()) == 3


@pytest.fixture
def there() -> Iterator[Path]:
    """A folder that every user of this machine can read."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
        Path(folder).chmod(0o755)


def test_a_log_that_was_left_is_read_where_nothing_may_be_made(path: Path, there: Path) -> None:
    """As a killed server leaves it, in a folder of somebody else: the log has what the file lacks."""
    with ReviewQueue(str(path)) as writer:
        writer.open_items([item(2)])
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", there / f"queue.sqlite{suffix}")
    for copied in there.iterdir():
        copied.chmod(0o644)
    there.chmod(0o555)
    with without_rights(), ReviewQueue(str(there / "queue.sqlite"), reading=True) as reader:
        assert len(reader.list()) == 2
    assert _names(there) == ["queue.sqlite", "queue.sqlite-wal"]


@pytest.mark.parametrize("shut", ["queue.sqlite", "."])
def test_a_queue_that_cannot_be_written_to_is_read_and_nothing_else(path: Path, there: Path, shut: str) -> None:
    shutil.copyfile(path, there / "queue.sqlite")
    (there / "queue.sqlite").chmod(0o666)
    there.chmod(0o777)
    (there / shut).chmod(0o444 if shut != "." else 0o555)
    with without_rights():
        with pytest.raises(Unavailable, match=r"queue\.sqlite can be read but not written to: correct the rights"):
            ReviewQueue(str(there / "queue.sqlite"))
        with ReviewQueue(str(there / "queue.sqlite"), reading=True) as reader:
            assert len(reader.list()) == 1


def test_a_queue_of_an_older_release_is_read_as_it_is(tmp_path: Path) -> None:
    from alembic import command

    from labeling.review.db.database import _alembic_config

    path = tmp_path / "queue.sqlite"
    database = open_database(str(path))
    with database.engine.connect() as connection, connection.begin():
        command.downgrade(_alembic_config(connection), "0003")
    database.close()
    before = path.read_bytes()
    with ReviewQueue(str(path), reading=True) as queue:
        assert queue.list(None) == []
    assert path.read_bytes() == before
    with closing(sqlite3.connect(path)) as kept:
        assert kept.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone() == ("0003",)


def _foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")


def _gutted(path: Path) -> None:
    with closing(sqlite3.connect(path)) as kept:
        kept.execute("DROP TABLE review_item")
        kept.commit()


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as kept:
        kept.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        kept.commit()


def _torn(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:5000] + b"\xa5" * (len(whole) - 5000))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("reading", [False, True])
@pytest.mark.parametrize(("spoil", "says"), [
    (lambda path: path.write_bytes(b"items: 3\n" * 400), "it is no SQLite file; move it away"),
    (_foreign, r"another program's database \(its tables: recipes\); give another place"),
    (_gutted, "it holds other tables than a review queue"),
    (_newer, "'9999'; expected one of 0001.*use the version of samurai-labeling that wrote it"),
    (_torn, "it is damaged; put a copy of it back|it is no SQLite file|another program's"),
    (_folder, "cannot be opened: Is a directory; give another place|unable to open database file; correct the rights"),
])
def test_a_file_that_is_no_queue_is_named_and_left_alone(
    path: Path, spoil: Callable[[Path], None], says: str, *, reading: bool
) -> None:
    spoil(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(LabelingError, match=says) as caught, ReviewQueue(str(path), reading=reading) as queue:
        queue.list()
    assert isinstance(caught.value, Unavailable), "the command ends with 4"
    assert str(path) in str(caught.value)
    assert "labeling-review-" not in str(caught.value), "the copy is no business of the reader"
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_queue_that_another_program_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.1)
    monkeypatch.setattr(sqlite, "READ_TIMEOUT_S", 0.1)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        for reading in (False, True):
            with pytest.raises(Unavailable, match="database is locked; another program holds it"), \
                    ReviewQueue(str(path), reading=reading) as queue:
                queue.open_items([item(5)])


def test_other_errors_of_the_database_are_not_hidden(path: Path) -> None:
    twice = text("INSERT INTO review_token SELECT 'x', 'ada', 'reviewer', '2026-01-01', NULL FROM review_item")
    with ReviewQueue(str(path)) as queue:
        queue.open_items([item(2)])
        with pytest.raises(IntegrityError, match="UNIQUE constraint failed"), queue.database.write() as session:
            session.execute(twice)
