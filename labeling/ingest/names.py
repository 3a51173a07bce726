"""Names of videos: the globs that choose among keys, and names that people spell otherwise than a listing does."""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping

from labeling.errors import BadConfiguration

VIDEO_SUFFIXES = frozenset({
    "264", "265", "3g2", "3gp", "asf", "avi", "divx", "dv", "f4v", "flv", "h264", "h265", "hevc", "ivf", "m2ts", "m2v", "m4v",
    "mjpeg", "mkv", "mov", "mp4", "mp4v", "mpeg", "mpg", "mts", "mxf", "nut", "ogm", "ogv", "qt", "ts", "vob", "webm", "wmv",
    "y4m",
})
_MOST_COMPARED = 5_000  # names that are compared letter by letter
_LIKE = 0.85


def compile_glob(pattern: str) -> re.Pattern[str]:
    """Compile a glob to match whole keys: `**` any number of parts, `*` and `?` within one part, `[...]` and `{a,b}`.

    BadConfiguration says what is wrong with it.
    """
    if not pattern or pattern.startswith("/"):
        raise BadConfiguration(f"source.glob is {pattern!r}; expected a pattern relative to the root, as '**' or '**/*.mp4'")
    try:
        return re.compile("(?s:" + _translated(pattern) + r")\Z")
    except re.error as error:
        raise BadConfiguration(f"source.glob is {pattern!r}; expected balanced brackets and braces ({error})") from error


def literal_start(pattern: str) -> str:
    """The start that every matching key has: what stands before the first wildcard."""
    return re.split(r"[*?\[{]", pattern, maxsplit=1)[0]


def names_suffix(pattern: str) -> bool:
    """Whether the pattern itself says which file names it wants, so that no other list of suffixes applies."""
    _, dot, suffix = pattern.rpartition("/")[2].rpartition(".")
    return bool(dot) and bool(suffix.strip("*?"))


def has_video_suffix(key: str) -> bool:
    """Whether the key's suffix is one that video files have."""
    return key.rpartition(".")[2].lower() in VIDEO_SUFFIXES


def _translated(pattern: str) -> str:
    """The pattern as a regular expression, token by token."""
    tokens = re.findall(r"(?:(?<=/)|\A)\*\*/|\*+|\?|\[[!^]?\]?[^\]]*\]|[{},]|.", pattern, re.DOTALL)
    depth = 0
    out = []
    for token in tokens:
        depth += (token == "{") - (token == "}")
        out.append(_token(token, depth))
    return "".join(out)


def _token(token: str, depth: int) -> str:
    if token == "**/":
        return "(?:[^/]+/)*"
    if token.startswith("*"):
        return "[^/]*" if token == "*" else ".*"
    if token.startswith("[") and len(token) > 1:
        negated = token[1] in "!^"
        inside = token[2 if negated else 1:-1].replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]")
        return f"[^/{inside}]" if negated else f"[{inside}]"
    simple = {"?": "[^/]", "{": "(?:", "}": ")"}
    if token == ",":
        return "|" if depth > 0 else ","
    return simple.get(token) or re.escape(token)


def composed(name: str) -> str:
    """The name with each accent and its letter in one character where there is one (NFC): macOS writes two."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """The name without what people do not see or mean: case, invisible characters, spaces around parts, doubled slashes."""
    visible = unicodedata.normalize("NFKC", name).casefold()
    visible = "".join(letter for letter in visible if unicodedata.category(letter) not in ("Cf", "Cc"))
    return "/".join(part.strip() for part in visible.split("/") if part.strip() not in ("", "."))


class Nearest:
    """Finds the listed name that one which is not listed was probably to be."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted(names)
        self._by_form: list[Mapping[str, str]] = [
            {form: name for name in reversed(self._names) if (form := make(folded(name)))} for make in (_whole, _last, _stem)
        ]

    def to(self, name: str) -> str | None:
        """The nearest name: equal but for what nobody sees, then in another folder, with another suffix, with a slip."""
        plain = folded(name)
        for make, by_form in zip((_whole, _last, _stem), self._by_form, strict=True):
            if (near := by_form.get(make(plain))) is not None:
                return near
        few = self._names if len(self._names) <= _MOST_COMPARED else []
        return next(iter(difflib.get_close_matches(name[:256], few, n=1, cutoff=_LIKE)), None)


def _whole(name: str) -> str:
    return name


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _stem(name: str) -> str:
    return _last(name).rpartition(".")[0]
