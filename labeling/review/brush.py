"""Label Studio's brush masks: RLE of the picture's RGBA bytes, row by row, packed into bits and written as a list of bytes.

Layout, as `@thi.ng/rle-pack` writes it: the number of words (32 bits), bits of a word less one (5), four run sizes less one
(4 each); then a bit that says whether one word is repeated, which size its count has (2), the count less one, and the word,
or as many words as counted. Every channel holds 255 where the mask is on.
"""

from collections.abc import Sequence

import numpy as np

from labeling import rle
from labeling.types import RLE, require

_SIZES = (3, 4, 8, 16)
_CHANNELS, _WORD = 4, 8
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
    require(all(isinstance(b, int) and 0 <= b < 256 for b in packed), "rle", list(packed[:8]), "a list of bytes")
    words = _unpack(packed)
    num_words = size_hw[0] * size_hw[1] * _CHANNELS
    require(words.size == num_words, "rle", f"{words.size} words", f"{num_words}, four for each pixel of {size_hw} (h, w)")
    return rle.encode(words.reshape(*size_hw, _CHANNELS)[..., -1] >= _HALF)


def _unpack(packed: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    bits = np.unpackbits(np.array(packed, np.uint8))
    text = "".join("1" if bit else "0" for bit in bits)
    num_words, word = _number(text, 0, 32), _number(text, 32, 5) + 1
    require(word == _WORD, "rle", f"words of {word} bits", "8")
    sizes = [_number(text, 37 + 4 * k, 4) + 1 for k in range(4)]
    words, done, at = np.zeros(num_words, np.uint8), 0, 53
    while done < num_words:
        size = sizes[_number(text, at + 1, 2)]
        count, start = _number(text, at + 3, size) + 1, at + 3 + size
        repeated = text[at] == "1"
        end = start + _WORD * (1 if repeated else count)
        require(end <= bits.size and done + count <= num_words, "rle", f"{len(packed)} bytes", "runs that fill the picture")
        words[done:done + count] = np.packbits(bits[start:end])
        done, at = done + count, end
    return words


def _number(text: str, start: int, size: int) -> int:
    part = text[start:start + size]
    require(len(part) == size, "rle", f"{len(text) // 8} bytes", "more: it ends inside a run")
    return int(part, 2)
