"""Caches keep what was used last, within their bounds, and answers for a while."""

import threading

from labeling.review.web.cache import LruCache, TtlCache


def test_a_shelf_lets_go_of_what_was_not_used() -> None:
    shelf: LruCache[str, bytes] = LruCache(10, len)
    shelf.put("a", b"1234")
    shelf.put("b", b"1234")
    assert shelf.get("a") == b"1234"
    shelf.put("c", b"1234")
    assert (shelf.get("a"), shelf.get("b"), shelf.get("c")) == (b"1234", None, b"1234")
    shelf.put("a", b"12")
    shelf.put("d", b"1234")
    assert (shelf.get("a"), shelf.get("c"), shelf.get("d")) == (b"12", b"1234", b"1234")
    shelf.put("whole", b"x" * 11)
    assert (shelf.get("whole"), shelf.get("a")) == (b"x" * 11, None)


def test_a_shelf_makes_a_thing_once() -> None:
    shelf: LruCache[int, list[int]] = LruCache(2)
    assert shelf.of(1, lambda: [1]) is shelf.of(1, lambda: [2])


def test_an_answer_is_good_for_a_while() -> None:
    now, asked = [0.0], []
    recent: TtlCache[str, int] = TtlCache(2.0, clock=lambda: now[0])

    def ask() -> int:
        asked.append(now[0])
        return len(asked)

    assert [recent.of("a", ask), recent.of("a", ask), recent.of("b", ask)] == [1, 1, 2]
    now[0] = 1.9
    assert recent.of("a", ask) == 1
    now[0] = 2.0
    assert recent.of("a", ask) == 3
    recent.forget()
    assert recent.of("b", ask) == 4


def test_a_crowd_asks_once() -> None:
    recent: TtlCache[str, int] = TtlCache(60.0)
    asked: list[int] = []
    crowd = [threading.Thread(target=lambda: recent.of("a", lambda: asked.append(1) or 1)) for _ in range(16)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert asked == [1]
