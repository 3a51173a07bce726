"""What is typed as `name=value`, looked at before Hydra is: its own errors advise what does not help here."""

import dataclasses
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from labeling.errors import BadConfiguration

# A name may be told to be added or put over what is there, as in Hydra.
OVERRIDE = re.compile(r"(?P<how>\+{0,2})(?P<name>[^=]*)=(?P<value>.*)", re.DOTALL)
_LINK = re.compile(r"\s*\n\s*See https?://\S+[^\n]*")

PATHS = frozenset(
    {
        "source.uri", "source.glob", "source.manifest", "prompts.uri", "store.root",
        "run.scratch", "run.review_url", "metrics.textfile", "model.checkpoint", "data.root", "data.stills", "predictions",
        "out", "peer",
    }
)
# What OmegaConf reads as a word about another setting or the environment; any other "${" is a name's own.
_REFERENCE = re.compile(r"\$\{(?:oc\.[a-z_.]+:[^{}]*|[a-z_]+(?:\.[a-z_]+)+)\}")


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


def overrides_in(path: Path) -> list[str]:
    """Return a YAML file's settings as overrides, by their whole names.

    Raises BadConfiguration for what is no YAML file of settings.
    """
    expected = "expected a YAML file of settings, as `labeling init` writes one"
    try:
        values = yaml.safe_load(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise BadConfiguration(f"--config is {str(path)!r}, which cannot be read ({reason}); {expected}") from error
    if not isinstance(values, dict):
        raise BadConfiguration(f"--config is {str(path)!r}, which holds no NAME: VALUE; {expected}")
    return list(_overrides_of(values, ""))


def _overrides_of(values: Mapping[Any, Any], above: str) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _overrides_of(value, f"{above}{name}.")
        else:
            # A path is taken as it is typed; quotes keep one that would be read as a word of Hydra's.
            whole, word = f"{above}{name}", isinstance(value, str) and value != "null" and value[:1] not in ("", "'", '"')
            yield f"{whole}={value if word and whole in PATHS else literal(value)}"


def literal(value: object) -> str:
    """Return a plain value in Hydra's grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{literal(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(literal, value)) + "]"
    return quoted(value) if isinstance(value, str) else str(value)


def quoted(text: str) -> str:
    """Return a text in quotes, as Hydra reads it back: backslashes are doubled before a quote and at the end alone."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", re.sub(r"(\\+)\Z", r"\1\1", text))
    return f"'{escaped}'"


@dataclasses.dataclass(slots=True)
class Literals:
    """Values that Hydra's grammar is kept from: a name stands in for each while the configuration is composed."""

    values: dict[str, str] = dataclasses.field(default_factory=dict)

    def hidden(self, override: str) -> str:
        """The override with the value of a path or URI hidden, but for null, a value in quotes, and one that refers on."""
        name, equals, value = override.partition("=")
        in_quotes = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        if name.lstrip("+") not in PATHS or value in ("", "null") or in_quotes:
            return override
        if _REFERENCE.search(value):
            return f"{name}{equals}{quoted(value)}"
        place = f"literal-{len(self.values)}-{secrets.token_hex(8)}"
        self.values[place] = value
        return f"{name}{equals}{place}"

    def shown(self, value: Any) -> Any:
        """The value with what was hidden in its place; dataclasses are changed where they are."""
        if isinstance(value, str) and type(value) is str:
            return self.values.get(value, value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            for part in dataclasses.fields(value):
                setattr(value, part.name, self.shown(getattr(value, part.name)))
        elif isinstance(value, dict):
            return {name: self.shown(part) for name, part in value.items()}
        elif isinstance(value, list):
            return [self.shown(part) for part in value]
        return value
