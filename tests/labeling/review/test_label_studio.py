"""Label Studio's brush masks, against bits laid out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labeling import rle
from labeling.review.label_studio import decode_brush, encode_brush

SIZES = "0010" "0011" "0111" "1111"


def packed(bits: str) -> list[int]:
    bits += "0" * (-len(bits) % 8)
    return [int(bits[k:k + 8], 2) for k in range(0, len(bits), 8)]


def header(num_words: int) -> str:
    return f"{num_words:032b}" "00111" + SIZES


def test_a_mask_is_runs_of_four_channels() -> None:
    mask = rle.encode(np.array([[0, 1, 1], [0, 0, 0]]))
    runs = "1" "00" "011" "00000000" + "1" "00" "111" "11111111" + "1" "01" "1011" "00000000"
    assert encode_brush(mask) == packed(header(24) + runs)
    assert decode_brush(packed(header(24) + runs), (2, 3)) == mask


def test_alpha_alone_counts_and_words_may_stand_unrepeated() -> None:
    words = [9, 9, 9, 127, 0, 0, 0, 128]
    bits = header(8) + "0" "00" "111" + "".join(f"{word:08b}" for word in words)
    assert rle.decode(decode_brush(packed(bits), (1, 2))).tolist() == [[False, True]]


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_masks_come_back(mask_HW: np.ndarray) -> None:
    mask = rle.encode(mask_HW)
    assert decode_brush(encode_brush(mask), mask_HW.shape) == mask


def test_a_run_longer_than_its_count_can_say_is_cut() -> None:
    mask_HW = np.zeros((300, 200), bool)
    mask_HW[100:] = True
    mask = rle.encode(mask_HW)
    assert decode_brush(encode_brush(mask), (300, 200)) == mask


@pytest.mark.parametrize(
    ("bytes_given", "said"),
    [
        (encode_brush(rle.encode(np.ones((2, 2), bool))), "16 words"), (packed(header(4))[:5], "ends inside a run"),
        (packed(header(4) + "1" "00" "111" "11111111"), "runs that fill the picture"), ([1, 2, 300], "a list of bytes"),
    ],
)
def test_what_is_no_mask_is_named(bytes_given: list[int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decode_brush(bytes_given, (1, 1))
