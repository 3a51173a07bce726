"""Label Studio's brush masks: RLE of the picture's RGBA bytes, row by row, packed into bits and written as a list of bytes.

Layout, as `@thi.ng/rle-pack` writes it: the number of words (32 bits), bits of a word less one (5), four run sizes less one
(4 each); then a bit that says whether one word is repeated, which size its count has (2), the count less one, and the word,
or as many words as counted. Every channel holds 255 where the mask is on.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from labeling import rle
from labeling.types import MOST_PIXELS, RLE, require

_SIZES = (3, 4, 8, 16)
_CHANNELS, _WORD = 4, 8
_ALPHA = 3  # the channel
_MOST_BYTES = 1 << 21
_ON, _HALF = 255, 128


def encode_brush(mask: RLE) -> list[int]:
    """Write a mask as Label Studio's list of bytes."""
    flat = rle.decode(mask).ravel(order="C")
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=flat.size) * _CHANNELS
    header = f"{flat.size * _CHANNELS:032b}{_WORD - 1:05b}" + "".join(f"{size - 1:04b}" for size in _SIZES)
    runs = (_run(int(n), _ON * bool(on)) for n, on in zip(lengths, flat[starts], strict=True))
    bits = header + "".join(runs)
    bits += "0" * (-len(bits) % 8)
    return list(int(bits, 2).to_bytes(len(bits) // 8, "big"))


def _run(length: int, value: int) -> str:
    longest, parts = 1 << _SIZES[-1], []
    while length > 0:
        part = min(length, longest)
        which = next(k for k, size in enumerate(_SIZES) if part <= 1 << size)
        parts.append(f"1{which:02b}{part - 1:0{_SIZES[which]}b}{value:08b}")
        length -= part
    return "".join(parts)


def decode_brush(packed: Sequence[int], size_hw: tuple[int, int]) -> RLE:
    """Read Label Studio's list of bytes; on is where alpha is half or more. ValueError names what does not fit."""
    short = isinstance(packed, Sequence) and len(packed) <= _MOST_BYTES
    require(short, "rle", packed, f"a list of at most {_MOST_BYTES} bytes")
    require(all(isinstance(b, int) and 0 <= b < 256 for b in packed), "rle", packed, "a list of bytes")
    sides = all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in size_hw)
    require(sides and size_hw[0] * size_hw[1] <= MOST_PIXELS, "the picture", size_hw, f"(h, w) of at most {MOST_PIXELS} pixels")
    alpha = _alpha_of(bytes(packed), size_hw[0] * size_hw[1])
    return rle.encode(alpha.reshape(size_hw))


def _alpha_of(body: bytes, num_pixels: int) -> npt.NDArray[np.bool_]:
    """Unpack the words and keep, of every fourth, whether it is half or more."""
    num_words, word = _number(body, 0, 32), _number(body, 32, 5) + 1
    require(word == _WORD, "rle", f"words of {word} bits", "8")
    require(num_words == num_pixels * _CHANNELS, "rle", f"{num_words} words", f"four for each of {num_pixels} pixels")
    sizes = [_number(body, 37 + 4 * k, 4) + 1 for k in range(4)]
    alpha, done, at = np.zeros(num_pixels, np.bool_), 0, 53
    while done < num_words:
        head = _number(body, at, 3)
        size = sizes[head & 3]
        count, start = _number(body, at + 3, size) + 1, at + 3 + size
        require(done + count <= num_words, "rle", f"{len(body)} bytes", "runs that fill the picture")
        first, last = -(-(done - _ALPHA) // _CHANNELS), (done + count - 1 - _ALPHA) // _CHANNELS + 1
        if head & 4:
            alpha[first:last] = _number(body, start, _WORD) >= _HALF
            at = start + _WORD
        else:
            at = start + _WORD * count
            words = _bytes(body, start, count)[first * _CHANNELS + _ALPHA - done :: _CHANNELS]
            alpha[first:last] = words >= _HALF
        done += count
    return alpha


def _bytes(body: bytes, start: int, count: int) -> npt.NDArray[np.uint8]:
    end = start + _WORD * count
    require(end <= 8 * len(body), "rle", f"{len(body)} bytes", "more: it ends inside a run")
    bits = np.unpackbits(np.frombuffer(body[start // 8 : -(-end // 8)], np.uint8))
    return np.packbits(bits[start % 8 : start % 8 + _WORD * count])


def _number(body: bytes, start: int, size: int) -> int:
    end = start + size
    require(end <= 8 * len(body), "rle", f"{len(body)} bytes", "more: it ends inside a run")
    last = -(-end // 8)
    return int.from_bytes(body[start // 8 : last], "big") >> (8 * last - end) & (1 << size) - 1
