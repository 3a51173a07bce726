"""JSON documents of a store, read and checked: an error names the damaged one, what is wrong and what to do."""

import json
import logging
import math
from collections.abc import Callable
from dataclasses import MISSING, fields
from enum import Enum
from types import UnionType
from typing import Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from labeling.errors import DamagedStore
from labeling.objects import Objects
from labeling.store.schemas import NewerStore

log = logging.getLogger(__name__)

T = TypeVar("T")
OnDamage = Callable[[DamagedStore], None]

_LARGEST = 2**63
RESTORE = "restore it from a copy"
# What a made object is refused with, whatever its bytes are.
_UNFIT = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError)


def read_document(objects: Objects, key: str, make: Callable[[object], T], *, advice: str = RESTORE) -> T:
    """Return what `make` makes of an object's JSON.

    Raises:
        FileNotFoundError: there is no such object.
        DamagedStore: it is no JSON, or `make` refuses it.
    """
    return document_of(objects.get(key), objects.uri(key), make, advice=advice)


def document_of(body: bytes, uri: str, make: Callable[[object], T], *, advice: str = RESTORE) -> T:
    """Return what `make` makes of JSON; DamagedStore names `uri`."""
    try:
        return make(json.loads(body, parse_constant=_refused))
    except NewerStore:
        raise
    except _UNFIT as error:
        raise DamagedStore(f"{uri} is damaged ({problem_of(error)}); {advice}") from error


def warned(error: DamagedStore) -> None:
    """Say in the log what is damaged, where the rest is worth having without it."""
    log.warning("%s", error)


def raised(error: DamagedStore) -> None:
    """Let what is damaged end the reading."""
    raise error


def problem_of(error: BaseException) -> str:
    """Say in a few words what an exception found wrong."""
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    return " ".join(str(error).split())[:300] or type(error).__name__


def typed(kind: type[T], values: object) -> T:
    """Make a dataclass of plain values, each checked against its field's type; names that it does not know are left out.

    Raises:
        ValueError: with the name, the value and the type.
    """
    document = plain(values, dict, kind.__name__)
    hints = get_type_hints(kind)
    arguments: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name in document:
            arguments[field.name] = _of_type(document[field.name], hints[field.name], field.name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise KeyError(field.name)
    return kind(**arguments)


def plain(value: object, hint: type[T], name: str) -> T:
    """Return a plain value that is of the type, numbers finite and below 2**63; a ValueError says what it is."""
    checked: T = _of_type(value, hint, name)
    return checked


def _of_type(value: Any, hint: Any, name: str) -> Any:
    if hint is Any:
        return value
    if isinstance(hint, UnionType):
        return None if value is None else _of_type(value, get_args(hint)[0], name)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if not _fits(value, origin):
        raise ValueError(f"{name} is {str(value)[:60]!r}; expected {getattr(origin, '__name__', origin)}")
    if inner and origin is list:
        return [_of_type(v, inner[0], name) for v in value]
    return {n: _of_type(v, inner[1], f"{name}.{n}") for n, v in value.items()} if inner else value


def _fits(value: Any, kind: type) -> bool:
    if kind in (int, float):
        number = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
        return number and -_LARGEST < value < _LARGEST and math.isfinite(value)
    return isinstance(value, kind)


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}")
