"""Glob patterns over keys: `**` any number of parts, `*` and `?` within one part, `[...]` and `{a,b}`."""

import re

from labeling.errors import BadConfiguration

VIDEO_SUFFIXES = frozenset({
    "264", "265", "3g2", "3gp", "asf", "avi", "divx", "dv", "f4v", "flv", "h264", "h265", "hevc", "ivf", "m2ts", "m2v", "m4v",
    "mjpeg", "mkv", "mov", "mp4", "mp4v", "mpeg", "mpg", "mts", "mxf", "nut", "ogm", "ogv", "qt", "ts", "vob", "webm", "wmv",
    "y4m",
})


def compile_glob(pattern: str) -> re.Pattern[str]:
    """Compile a glob to match whole keys; BadConfiguration says what is wrong with it."""
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
