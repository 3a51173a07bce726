"""The review page in Chromium, against the real server on a small real store."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from labeling import rle
from labeling.objects import FolderObjects
from labeling.review.accounts import Accounts
from labeling.review.audits import Audits
from labeling.review.flow.opening import items_named
from labeling.review.items import ItemStatus
from labeling.review.queue import ReviewQueue
from labeling.review.web.corrections import Clicker
from labeling.store.snapshots import read_snapshot
from tests.labeling.review.samples import HandClock
from tests.labeling.review.web.page_looks import PATIENCE_MS, amiss, at, check_masks, go_to, leaves, pixel, says, start
from tests.labeling.review.web.page_server import CHROMIUM, FLAGS, filled_queue, page_services, serving, small_network
from tests.labeling.review.web.page_store import LOST, NUM_FRAMES, SIZE_HW, WRONG, make_store
from tests.labeling.review.web.served import services_of

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright for Python (the extra dev has it)")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser for all tests."""
    if CHROMIUM is None:
        needs = "needs Chromium (Debian: apt-get install chromium)"
        pytest.fail(needs) if os.environ.get("LABELING_CI") else pytest.skip(needs)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS), timeout=2 * PATIENCE_MS)
        playwright.expect.set_options(timeout=PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page_objects(tmp_path_factory: pytest.TempPathFactory) -> FolderObjects:
    """The store of both clips, with four doubted masklets."""
    return make_store(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def clicker() -> Clicker:
    """The network, built before a test waits for what it says."""
    made = Clicker(small_network)
    made.network()
    return made


@pytest.fixture
def page_queue(tmp_path: Path, sqlite_template: Path, clock: HandClock, page_objects: FolderObjects) -> Iterator[ReviewQueue]:
    """The queue behind the page; its clock is the test's."""
    shutil.copy(sqlite_template, tmp_path / "queue.sqlite")
    with filled_queue(tmp_path / "queue.sqlite", page_objects, clock=clock) as queue:
        yield queue


@pytest.fixture
def address(page_queue: ReviewQueue, page_objects: FolderObjects, clicker: Clicker, tmp_path: Path) -> Iterator[str]:
    """Where the server is."""
    with serving(page_services(page_queue, page_objects, tmp_path / "scratch", clicker)) as address:
        yield address


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Any]:
    """The page, loaded; at the end it has complained of nothing."""
    complaints: list[str] = []
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    opened = context.new_page()
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    # What the server refuses is shown on the page, and Chromium notes it here too.
    opened.on("console", lambda said: said.type == "error" and "Failed to load resource" not in said.text
              and complaints.append(said.text))
    opened.goto(address)
    opened.locator("body[data-ready]").wait_for()
    yield opened
    context.close()
    assert complaints == []


def test_the_page_has_landmarks_names_and_a_title(page: Any) -> None:
    for role, name in (("navigation", "Queue"), ("main", "Item"), ("complementary", "Reasons and decision")):
        playwright.expect(page.get_by_role(role, name=name)).to_be_visible()
    start(page)
    nameless = page.get_by_role("button", name="", exact=True)
    assert nameless.count() == 0
    says(page, "#reasons", "bound")
    strip = page.get_by_role("slider", name="Frame")
    before = int(strip.get_attribute("aria-valuenow"))
    page.keyboard.press("f")
    playwright.expect(strip).to_have_attribute("aria-valuenow", str(before + 1))
    assert f"frame {before + 1}, predicted IoU" in strip.get_attribute("aria-valuetext")


def test_accepting_and_taking_it_back_by_the_keyboard(page: Any, page_queue: ReviewQueue) -> None:
    start(page)
    first = page.locator("#item-title").text_content()
    page.keyboard.press("a")
    says(page, "#status", "Accepted")
    playwright.expect(page.locator("#item-title")).not_to_have_text(first)
    (accepted,) = page_queue.decisions_since()
    assert (accepted.action, accepted.reviewer) == ("accept", "ada")
    assert accepted.seconds >= 0
    page.keyboard.press("Control+z")
    says(page, "#status", "taken back")
    playwright.expect(page.locator("#item-title")).to_have_text(first)
    item = page_queue.get(accepted.key)
    assert (item.status, item.reviewer) == (ItemStatus.CLAIMED, "ada")
    assert [logged.action for logged in page_queue.decisions_since()] == ["accept", "undo"]


def test_rejecting_with_a_note_and_skipping(page: Any, page_queue: ReviewQueue) -> None:
    start(page)
    page.locator("#note").fill("two objects in one mask")
    page.get_by_role("button", name="Reject").click()
    says(page, "#status", "Rejected")
    (rejected,) = page_queue.decisions_since()
    assert (rejected.action, rejected.note) == ("reject", "two objects in one mask")
    second = page.locator("#item-title").text_content()
    page.keyboard.press("s")
    says(page, "#status", "Skipped")
    playwright.expect(page.locator("#item-title")).not_to_have_text(second)
    counts = page_queue.counts()
    assert (counts[ItemStatus.OPEN], counts[ItemStatus.CLAIMED], counts[ItemStatus.DECIDED]) == (2, 1, 1)


def test_letters_in_the_note_decide_nothing(page: Any, page_queue: ReviewQueue) -> None:
    start(page)
    page.locator("#note").press_sequentially("arse")
    playwright.expect(page.locator("#note")).to_have_value("arse")
    assert list(page_queue.decisions_since()) == []


def test_a_correction_with_clicks_a_box_and_an_absence(page: Any, page_queue: ReviewQueue) -> None:
    start(page, "car")
    frame = WRONG[0]
    go_to(page, frame)
    page.keyboard.press("e")
    on, beside = (24 + 3 * frame, 34), (140 - 2 * frame, 68)
    page.mouse.click(*at(page, *on))
    says(page, "#edit-bar", "1 click, predicted IoU")
    page.mouse.click(*at(page, *beside), button="right")
    says(page, "#edit-bar", "2 clicks, predicted IoU")
    page.keyboard.press("Control+z")
    says(page, "#edit-bar", "1 click, predicted IoU")
    page.keyboard.press("Control+Shift+z")
    says(page, "#edit-bar", "2 clicks, predicted IoU")

    go_to(page, LOST[0])
    page.keyboard.press("o")
    says(page, "#edit-bar", "object absent")
    page.keyboard.press("f")
    says(page, "#hud", f"frame {LOST[1]}")
    page.mouse.move(*at(page, 84, 20))
    page.mouse.down()
    page.mouse.move(*at(page, 114, 50), steps=3)
    page.mouse.up()
    says(page, "#edit-bar", "box, predicted IoU")

    page.get_by_label("Direction").select_option("forward")
    page.keyboard.press("Enter")
    says(page, "#status", "as a preview")
    says(page, "#decide", "Save correction")
    page.keyboard.press("a")
    says(page, "#status", "Correction saved")
    (saved,) = page_queue.corrections()
    first, absent, boxed = saved.prompts
    assert (first.frame_idx, first.labels) == (frame, (1, 0))
    assert first.points_xy[0] == pytest.approx(on, abs=1.5)
    assert first.points_xy[1] == pytest.approx(beside, abs=1.5)
    assert (absent.frame_idx, rle.area(absent.mask)) == (LOST[0], 0)
    assert boxed.box_xyxy == pytest.approx((84, 20, 114, 50), abs=1.5)
    assert rle.area(first.mask) > 0
    assert {prompt.span for prompt in saved.prompts} == {(frame, NUM_FRAMES)}


def test_a_correction_by_the_keyboard_alone(page: Any, page_queue: ReviewQueue) -> None:
    start(page, "car")
    for key in ("e", "l", "l", "i", "p"):
        page.keyboard.press(key)
    says(page, "#edit-bar", "1 click, predicted IoU")
    for key in ("d", ",", "f", "f", "f", "."):
        page.keyboard.press(key)
    says(page, "#status", "The correction changes frames")
    page.keyboard.press("a")
    says(page, "#status", "Correction saved")
    (saved,) = page_queue.corrections()
    (prompt,) = saved.prompts
    assert prompt.labels == (1,)
    height, width = SIZE_HW
    assert prompt.span == (prompt.frame_idx - 1, prompt.frame_idx + 3)
    (x, y), = prompt.points_xy
    assert 0 < x < width
    assert 0 < y < height


def test_a_lost_lease_keeps_the_work(page: Any, page_queue: ReviewQueue, clock: HandClock) -> None:
    start(page, "car")
    go_to(page, WRONG[0])
    page.keyboard.press("e")
    page.mouse.click(*at(page, 24 + 3 * WRONG[0], 34))
    says(page, "#edit-bar", "1 click, predicted IoU")
    clock.pass_s(3600)
    page.keyboard.press("a")
    says(page, "#notice", "lease on this item is lost")
    playwright.expect(page.get_by_role("button", name="Save correction")).to_be_disabled()
    says(page, "#edit-bar", "1 click")
    page.get_by_role("button", name="Claim again").click()
    says(page, "#status", "yours again")
    page.keyboard.press("a")
    says(page, "#status", "Correction saved")
    (saved,) = page_queue.corrections()
    assert [prompt.frame_idx for prompt in saved.prompts] == [WRONG[0]]


def test_work_survives_a_server_that_goes_away_and_comes_back(
    chromium: Any, page_queue: ReviewQueue, page_objects: FolderObjects, clicker: Clicker, tmp_path: Path
) -> None:
    context = chromium.new_context()
    context.set_default_timeout(PATIENCE_MS)
    opened = context.new_page()
    with serving(page_services(page_queue, page_objects, tmp_path / "scratch", clicker)) as address:
        opened.goto(address)
        start(opened, "car")
        go_to(opened, WRONG[0])
        opened.keyboard.press("e")
        opened.mouse.click(*at(opened, 24 + 3 * WRONG[0], 34))
        says(opened, "#edit-bar", "1 click, predicted IoU")
    opened.keyboard.press("a")
    says(opened, "#notice", "Your work is kept in this browser")
    says(opened, "#edit-bar", "1 click")
    port = int(address.rpartition(":")[2])
    with serving(page_services(page_queue, page_objects, tmp_path / "scratch", clicker), port=port):
        says(opened, "#status", "The server answers again")
        playwright.expect(opened.locator("#notice")).to_be_hidden()
        opened.keyboard.press("a")
        says(opened, "#status", "Correction saved")
    context.close()
    (saved,) = page_queue.corrections()
    assert [prompt.frame_idx for prompt in saved.prompts] == [WRONG[0]]


def test_a_session_that_ends_in_mid_work_is_begun_again_and_the_work_goes_on(page: Any, page_queue: ReviewQueue) -> None:
    start(page, "car")
    go_to(page, WRONG[0])
    page.keyboard.press("e")
    page.mouse.click(*at(page, 24 + 3 * WRONG[0], 34))
    says(page, "#edit-bar", "1 click, predicted IoU")
    token = Accounts(page_queue).make_token("ada", role="senior")      # whoever came in by name is asked for theirs
    page.keyboard.press("a")
    says(page, "#login", "Your session has ended. Your work is kept")
    page.get_by_label("Token").fill(token)
    page.keyboard.press("Enter")
    says(page, "#status", "Signed in again")
    playwright.expect(page.locator("#notice")).to_be_hidden()
    says(page, "#edit-bar", "1 click")
    page.locator("#stage").focus()
    page.keyboard.press("a")
    says(page, "#status", "Correction saved")
    assert [logged.reviewer for logged in page_queue.decisions_since()] == ["ada"]


def test_markup_and_hidden_marks_in_names_are_text(page: Any, page_queue: ReviewQueue) -> None:
    markup, turned = '<img src=x onerror="alert(1)">', "a/\u202egpj.exe\u200b.mp4"
    with page_queue.database.write() as session:
        session.execute(text("UPDATE review_item SET category = :m, video_key = :t"), {"m": markup, "t": turned})
        session.execute(text("UPDATE review_item_reason SET category = :m"), {"m": markup})
    page_queue.claim("<b>eve</b>")
    page.reload()
    page.locator("body[data-ready]").wait_for()
    start(page)
    page.locator("#note").fill(markup)
    for selector in ("#queue", "#filters", "#item-facts"):
        says(page, selector, markup)
    for selector in ("#queue", "#item-title"):
        says(page, selector, "<U+202E>gpj.exe<U+200B>.mp4")
    page.get_by_label("Status").select_option("claimed")
    says(page, "#queue", "<b>eve</b>")
    page.keyboard.press("Escape")
    assert page.locator("img, b b, script:not([src])").count() == 0


def test_clicks_are_still_there_after_a_reload(page: Any) -> None:
    start(page, "car")
    title = page.locator("#item-title").text_content()
    go_to(page, WRONG[0])
    page.keyboard.press("e")
    page.mouse.click(*at(page, 24 + 3 * WRONG[0], 34))
    says(page, "#edit-bar", "1 click")
    page.reload()
    says(page, "#item-title", title)
    says(page, "#edit-bar", "1 click, predicted IoU")


def test_a_key_in_use_is_warned_of_and_can_be_taken(page: Any, page_queue: ReviewQueue) -> None:
    start(page)
    page.keyboard.press("?")
    page.locator('[data-action="accept"].key-button').click()
    page.keyboard.press("r")
    says(page, ".keys-message", "R is used for: Reject")
    page.get_by_role("button", name="Use it here instead").click()
    page.get_by_role("button", name="Close").click()
    page.reload()
    playwright.expect(page.locator("#hud")).to_contain_text("frame")
    page.keyboard.press("r")
    says(page, "#status", "Accepted")
    assert [logged.action for logged in page_queue.decisions_since()] == ["accept"]


def test_suspicious_frames_and_steps(page: Any) -> None:
    start(page, "car")
    first = page.locator("#hud").text_content().split()[1]
    go_to(page, 11)
    page.keyboard.press("]")
    says(page, "#hud", f"frame {first} ")
    page.keyboard.press("Home")
    page.keyboard.press("[")
    says(page, "#status", "No earlier suspicious frame")
    page.keyboard.press("Space")
    playwright.expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press("Space")
    playwright.expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_a_span_by_its_two_numbers_survives_a_reload(page: Any, page_queue: ReviewQueue) -> None:
    start(page, "car")
    go_to(page, WRONG[0])
    page.keyboard.press("e")
    page.mouse.click(*at(page, 24 + 3 * WRONG[0], 34))
    says(page, "#edit-bar", "1 click, predicted IoU")
    page.get_by_label("Direction").select_option("span")
    page.get_by_label("First frame to change").fill("12")
    page.get_by_label("Last frame to change").fill("17")
    page.get_by_label("Last frame to change").press("Escape")
    page.reload()
    says(page, "#edit-bar", "1 click, predicted IoU")
    playwright.expect(page.get_by_label("Last frame to change")).to_have_value("17")
    page.keyboard.press("a")
    says(page, "#status", "Correction saved")
    (saved,) = page_queue.corrections()
    assert [prompt.span for prompt in saved.prompts] == [(12, 18)]


def test_rows_stay_where_the_queue_is_read_anew_and_nothing_changed(page: Any) -> None:
    row = page.locator("#queue button").first.element_handle()
    reads = """performance.getEntriesByType("resource")
        .filter((entry) => entry.name.includes("/api/queue") && entry.responseEnd > 0).length"""
    before = page.evaluate(reads)
    page.evaluate("document.querySelector('#filters').dispatchEvent(new Event('change'))")
    page.wait_for_function(f"before => {reads} > before", arg=before)
    page.evaluate("new Promise((drawn) => setTimeout(drawn, 200))")
    assert row.evaluate("row => row.isConnected"), "a press that began on it would be lost"


def test_filters_are_kept_in_the_address(page: Any) -> None:
    entries = page.locator("#queue button.queue-item")
    playwright.expect(entries).to_have_count(4)
    page.get_by_label("Category").select_option(label="car (2)")
    playwright.expect(entries).to_have_count(2)
    page.get_by_label("Run").select_option("run-1")
    assert page.url.endswith("?category=car&run=run-1")
    page.reload()
    playwright.expect(page.get_by_label("Category")).to_have_value("car")
    playwright.expect(entries).to_have_count(2)
    page.get_by_label("Category").select_option("")
    page.get_by_label("Run").select_option("")
    playwright.expect(entries).to_have_count(4)
    assert "?" not in page.url


def test_other_objects_are_drawn_and_can_be_hidden(page: Any) -> None:
    start(page, "car")
    go_to(page, 2)
    spot = at(page, 140 - 2 * 2, 68)        # object 2 is alone at the right
    others = page.get_by_role("button", name="Other objects")
    playwright.expect(others).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("t")
    playwright.expect(others).to_have_attribute("aria-pressed", "false")
    hidden = pixel(page, *spot)
    page.keyboard.press("t")
    leaves(page, *spot, hidden)             # their masks come after the frame
    shown = pixel(page, *spot)
    page.keyboard.press("t")
    assert pixel(page, *spot) == hidden
    page.keyboard.press("t")
    assert pixel(page, *spot) == shown


def test_signing_in_and_out_by_token(
    chromium: Any, page_queue: ReviewQueue, page_objects: FolderObjects, tmp_path: Path
) -> None:
    token = Accounts(page_queue).make_token("bob", role="senior")
    services = services_of(page_queue, page_objects, tmp_path / "scratch")
    context = chromium.new_context()
    context.set_default_timeout(PATIENCE_MS)
    with serving(services) as address:
        opened = context.new_page()
        opened.goto(address)
        playwright.expect(opened.get_by_label("Your name")).to_be_focused()
        opened.keyboard.press("Escape")
        opened.get_by_label("Token").fill("not-one-that-works")
        opened.keyboard.press("Enter")
        says(opened, "#login-error", "the token is not one that works")
        opened.get_by_label("Token").fill(token)
        opened.keyboard.press("Enter")
        says(opened, "#who", "bob (senior)")
        playwright.expect(opened.get_by_role("dialog")).to_have_count(0)
        opened.locator("body[data-ready]").wait_for()
        start(opened)
        opened.get_by_role("button", name="Sign out").click()
        playwright.expect(opened.get_by_role("dialog", name="Sign in")).to_be_visible()
        playwright.expect(opened.get_by_label("Token")).to_have_value("")
    context.close()


@pytest.mark.parametrize(("width", "height", "touch"), [
    (390, 844, True), (768, 1024, True), (1024, 768, False), (1280, 720, False),
])
def test_nothing_overlaps_or_is_cut(chromium: Any, address: str, *, width: int, height: int, touch: bool) -> None:
    """The queue, an item, and a correction with both ends of a span; on a phone the verdicts lie under the picture at once."""
    viewport = {"width": width, "height": height}
    context = chromium.new_context(viewport=viewport, has_touch=touch, is_mobile=touch)
    context.set_default_timeout(PATIENCE_MS)
    opened = context.new_page()
    opened.goto(address)
    opened.locator("body[data-ready]").wait_for()
    assert amiss(opened) == []
    opened.get_by_role("button", name="Start reviewing").click()
    says(opened, "#reasons", "bound")
    assert amiss(opened) == []
    for name in ("Accept", "Reject", "Skip"):
        box = opened.get_by_role("button", name=name).bounding_box()
        assert box["y"] + box["height"] <= height, name
        assert not touch or (box["height"] >= 48 and box["width"] >= 100), name
    opened.get_by_role("button", name="Edit").click()
    if touch:
        opened.get_by_role("button", name="Beside").click()
    (opened.locator("#canvas").tap if touch else opened.locator("#canvas").click)()
    says(opened, "#edit-bar", "1 click, predicted IoU")
    opened.get_by_label("Direction").select_option("span")
    assert amiss(opened) == []
    save = opened.get_by_role("button", name="Save correction")
    save.wait_for()
    assert save.bounding_box()["y"] < height - 40
    context.close()


def test_a_phone_takes_an_item_from_the_queue_and_settles_it(chromium: Any, address: str, page_queue: ReviewQueue) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    context.set_default_timeout(PATIENCE_MS)
    opened = context.new_page()
    opened.goto(address)
    opened.locator("body[data-ready]").wait_for()
    opened.get_by_role("link", name="Queue").tap()
    opened.locator("#queue button", has_text="person").first.tap()
    says(opened, "#hud", "frame")
    assert opened.evaluate("window.scrollY") == 0, "the picture is in view again"
    opened.get_by_role("button", name="Reject").tap()
    says(opened, "#status", "Rejected")
    (rejected,) = page_queue.decisions_since()
    assert page_queue.get(rejected.key).category == "person"
    context.close()


def test_the_page_works_below_a_path(
    chromium: Any, page_queue: ReviewQueue, page_objects: FolderObjects, clicker: Clicker, tmp_path: Path
) -> None:
    context = chromium.new_context()
    context.set_default_timeout(PATIENCE_MS)
    opened, missing = context.new_page(), []
    opened.on("response", lambda answer: answer.status >= 400 and missing.append(answer.url))
    with serving(page_services(page_queue, page_objects, tmp_path / "scratch", clicker), below="/labels") as address:
        opened.goto(f"{address}/")
        opened.locator("body[data-ready]").wait_for()
        start(opened)
        opened.get_by_label("Category").select_option("car")
        assert opened.url == f"{address}/?category=car"
        opened.keyboard.press("a")
        says(opened, "#status", "Accepted")
    context.close()
    assert missing == []


def test_masks_are_read_and_traced_as_the_package_does(chromium: Any, address: str) -> None:
    context = chromium.new_context(bypass_csp=True)
    opened = context.new_page()
    opened.goto(address)
    check_masks(opened)
    context.close()


def test_of_what_waits_for_a_verdict_alone_the_page_shows_no_judgement(
    page: Any, page_queue: ReviewQueue, page_objects: FolderObjects
) -> None:
    keys = [queued.key for queued in page_queue.list()[:2]]
    drawn = items_named(page_objects, read_snapshot(page_objects), keys)
    Audits(page_queue).open(drawn, draw="d000001", inclusion=0.5, mixed_in=1)
    page.reload()
    page.locator("body[data-ready]").wait_for()
    playwright.expect(page.locator("#queue li", has_text="verdict only")).to_have_count(3)
    start(page)
    says(page, "#reasons", "Only your verdict is asked")
    says(page, "#item-why", "verdict only")
    shown = page.locator("main").inner_text() + page.locator("#reasons").inner_text() + page.locator("#hud").inner_text()
    for word in ("IoU", "risk 0", "bound", "area jump", "score "):
        assert word not in shown, word
    playwright.expect(page.locator("#decide").get_by_role("button", name="Edit")).to_have_count(0)
    playwright.expect(page.locator('[data-action="nextFlag"]')).to_be_hidden()
    assert page.locator("canvas.film").bounding_box()["height"] == 3 * 54 + 2 * 2
    assert page.locator("canvas.strip").bounding_box()["height"] < 20
    # The sheet is read line by line: the cell in its last line, at the left, lies in the last third.
    box = page.locator("canvas.film").bounding_box()
    page.mouse.click(box["x"] + 130, box["y"] + box["height"] - 10)
    shown_frame = int(page.get_by_role("slider", name="Frame").get_attribute("aria-valuenow"))
    assert NUM_FRAMES * 2 // 3 <= shown_frame <= NUM_FRAMES * 2 // 3 + 4
    page.keyboard.press("e")
    playwright.expect(page.locator("#edit-bar")).to_be_hidden()
    title = page.locator("#item-title").text_content()
    page.keyboard.press("r")
    says(page, "#status", "Rejected")
    playwright.expect(page.locator("#item-title")).not_to_have_text(title)
    page.keyboard.press("a")
    says(page, "#status", "Accepted")
    assert [logged.action for logged in page_queue.decisions_since()] == ["reject", "accept"]
    page.keyboard.press("a")
    says(page, "#status", "Accepted")
    # The last one is an item like any other: scores and flags are back.
    says(page, "#hud", "IoU")
    playwright.expect(page.locator("#decide").get_by_role("button", name="Edit")).to_be_visible()
    assert page.locator("canvas.film").bounding_box()["height"] == 54


def test_a_key_goes_to_the_frames_to_correct_first_and_tracking_leaves_marked_what_is_in_doubt(page: Any) -> None:
    start(page, "object 1")
    strip = page.get_by_role("slider", name="Frame")
    item_id = page.locator("#queue [aria-current='true']").get_attribute("data-item")
    best = page.evaluate("async (id) => (await (await fetch(`api/items/${id}`)).json()).best", item_id)
    assert len(best) == 4
    page.keyboard.press("Home")
    for frame in (*best, best[0]):
        page.keyboard.press("g")
        playwright.expect(strip).to_have_attribute("aria-valuenow", str(frame))
    marks = page.evaluate("""async () => {
      const { doubted, stillDoubted } = await import('/static/doubt.js');
      const detail = { suspicious: [14, 24, 30], thresholds: { predicted_iou: 0.75 } };
      const ious = { 13: 0.9, 14: 0.95, 15: 0.7, 16: 0.6, 17: 0.72, 18: 0.9, 24: 0.5 };
      const tracked = Object.fromEntries(Object.entries(ious).map(([f, iou]) => [f, { predicted_iou: iou }]));
      return [doubted(detail, null), doubted(detail, tracked), stillDoubted(detail, tracked)];
    }""")
    assert marks == [[14, 24, 30], [16, 24, 30], [16, 24]]
