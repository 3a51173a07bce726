"""Names that people spell otherwise than a listing does: accents in one character or two, case, spaces, slashes, folders."""

import difflib
import unicodedata
from collections.abc import Iterable, Mapping

_MOST_COMPARED = 5_000  # names that are compared letter by letter
_LIKE = 0.85


def composed(name: str) -> str:
    """The name with each accent and its letter in one character where there is one (NFC): macOS writes two."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """The name without what people do not see or mean: case, invisible characters, spaces around parts, doubled slashes."""
    seen = unicodedata.normalize("NFKC", name).casefold()
    seen = "".join(letter for letter in seen if unicodedata.category(letter) not in ("Cf", "Cc"))
    return "/".join(part.strip() for part in seen.split("/") if part.strip() not in ("", "."))


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
