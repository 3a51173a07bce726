"""A thread goes ahead: same items, same order, same errors, same arithmetic, and never far."""

import threading
from collections.abc import Iterator

import pytest
import torch

from labeling.track.pipelined import ahead


def test_items_come_in_their_order_from_one_other_thread() -> None:
    seen: set[int] = set()

    def items() -> Iterator[int]:
        for k in range(20):
            seen.add(threading.get_ident())
            yield k

    assert list(ahead(items())) == list(range(20))
    assert len(seen) == 1
    assert threading.get_ident() not in seen


def test_it_stays_within_its_depth() -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        for k in range(100):
            begun.append(k)
            yield k

    for item in ahead(items(), depth=3):
        assert len(begun) <= item + 1 + 3


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("frame 3 is broken")

    running = ahead(items())
    assert [next(running), next(running)] == [1, 2]
    with pytest.raises(ValueError, match="frame 3 is broken"):
        next(running)


def test_closing_ends_the_thread() -> None:
    before = threading.active_count()
    one = ahead(iter(range(1000)))
    assert next(one) == 0
    one.close()     # type: ignore[attr-defined]
    assert threading.active_count() == before


@pytest.mark.parametrize("enabled", [True, False])
def test_the_thread_works_in_the_callers_arithmetic(enabled: bool) -> None:
    def products() -> Iterator[torch.Tensor]:
        ones = torch.ones(2, 2, requires_grad=True)
        for _ in range(2):
            yield ones @ ones

    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        results = list(ahead(products()))
    assert {r.dtype for r in results} == {torch.bfloat16 if enabled else torch.float32}
    assert not any(r.requires_grad for r in results)
