"""What is typed as `name=value`, looked at before Hydra is: its own errors advise what does not help here."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from labeling.errors import BadConfiguration

# A name may be told to be added or put over what is there, as in Hydra.
OVERRIDE = re.compile(r"(?P<how>\+{0,2})(?P<name>[^=]*)=(?P<value>.*)", re.DOTALL)
_LINK = re.compile(r"\s*\n\s*See https?://\S+[^\n]*")


def known_overrides(overrides: Sequence[str], schema: type, choices: Mapping[str, Sequence[str]]) -> list[str]:
    """Return overrides ready for Hydra; BadConfiguration for a name that is no setting and a choice that is none.

    `choices` maps a group to what can be chosen of it. Below a setting that is a table, any name is taken.
    """
    names = dict(_settings(schema))     # name -> whether it is a table, and of plain values
    groups = {group: choice for group, choice in choices.items() if group in names}
    return [_known(override, names, groups) for override in overrides]


def _known(override: str, names: Mapping[str, tuple[bool, bool]], choices: Mapping[str, Sequence[str]]) -> str:
    typed = OVERRIDE.fullmatch(override)
    if typed is None or not typed["name"]:
        raise BadConfiguration(f"{override!r} is no setting; expected NAME=VALUE, as source.uri=clips")
    how, name, value = typed["how"], typed["name"], typed["value"]
    if name in choices and not value.startswith("{"):
        value = value.strip("'\"")
        if value not in choices[name]:
            raise BadConfiguration(f"{name} is {value!r}; expected one of {', '.join(choices[name])}")
        return f"{name}={value}"
    tables = [kind for above, kind in names.items() if kind[0] and f"{name}.".startswith(f"{above}.")]
    if (True, True) in tables and (name not in names or value.startswith("{")):
        return override if how else f"++{override}"         # an entry that is not there yet
    if name in names or tables:
        return override
    raise BadConfiguration(f"{name} is no setting{_nearest(name, list(names))}")


def settings_in(schema: type) -> frozenset[str]:
    """Return the names of all settings, and of the groups that they are in."""
    return frozenset(name for name, _ in _settings(schema))


def _nearest(name: str, names: Sequence[str]) -> str:
    # By its last part too: `root` for `store.root`.
    ends = {known.rpartition(".")[2]: known for known in names}
    near = [*get_close_matches(name, names, n=1), *(ends[end] for end in get_close_matches(name, ends, n=1))]
    return f"; did you mean {near[0]}?" if near else "; expected one of those that configs/*.yaml list"


def _settings(schema: type, above: str = "") -> Iterator[tuple[str, tuple[bool, bool]]]:
    """Yield each setting's name, and whether it is a table, below which names are free, and one of plain values."""
    hints = get_type_hints(schema)
    for field in dataclasses.fields(schema):
        kind, name = hints[field.name], f"{above}{field.name}"
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            yield name, (False, False)
            yield from _settings(kind, f"{name}.")
        else:
            is_table = get_origin(kind) is dict
            yield name, (is_table, is_table and not dataclasses.is_dataclass(get_args(kind)[1]))


def choices_in(folder: Path) -> dict[str, list[str]]:
    """Return what can be chosen of each group: the YAML files of each folder."""
    groups = sorted(path for path in folder.iterdir() if path.is_dir())
    return {group.name: sorted(path.stem for path in group.glob("*.yaml")) for group in groups}


def refusal_of(error: Exception, overrides: Sequence[str]) -> str:
    """Say in a line or two what Hydra or OmegaConf refuses, without its advice on its own command line."""
    cause: Any = error.__cause__ or error
    name, reason = getattr(cause, "full_key", None), (str(getattr(cause, "msg", None) or cause).splitlines() or [""])[0]
    if str(error).startswith("Ambiguous value"):
        name, reason = None, f"{str(error).splitlines()[0]}: several values; quote one that holds a comma, or give one"
    elif not name:
        reason = _LINK.sub("", str(error)).splitlines()[0]
    given = [override for override in overrides if not name or override.lstrip("+").partition("=")[0] == name]
    return f"{name or 'the configuration'}: {reason}" + (f" (given: {' '.join(given)})" if given else "")
