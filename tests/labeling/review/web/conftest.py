"""One small store for the session, and for each test a queue of its own with a server on both."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from labeling.objects import FolderObjects
from labeling.review.queue import ReviewQueue
from labeling.review.web.services import Services
from tests.labeling.review.samples import HandClock
from tests.labeling.review.web.served import Browser, fill, make_store, services_of


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> FolderObjects:
    """The store; tests that publish work on a copy."""
    return make_store(tmp_path_factory.mktemp("served"))


@pytest.fixture
def queue(tmp_path: Path, sqlite_template: Path, clock: HandClock, objects: FolderObjects) -> Iterator[ReviewQueue]:
    """A queue with the store's three items."""
    shutil.copy(sqlite_template, tmp_path / "queue.sqlite")
    with ReviewQueue(str(tmp_path / "queue.sqlite"), clock=clock) as opened:
        fill(opened, objects)
        yield opened


@pytest.fixture
def services(queue: ReviewQueue, objects: FolderObjects, tmp_path: Path) -> Iterator[Services]:
    """The server's parts, without a network."""
    made = services_of(queue, objects, tmp_path / "scratch", dataset="cars")
    yield made
    made.close()


@pytest.fixture
def browser(services: Services) -> Browser:
    """A browser in which ada is signed in."""
    return Browser.of(services).sign_in("ada")


@pytest.fixture
def other(services: Services) -> Browser:
    """A browser in which bob is signed in."""
    return Browser.of(services).sign_in("bob")
