"""Keeps secrets out of what is written for people (`redact`: logs, messages, reports) and of what is kept (`held_out`).

Hidden from people are the values of this process's environment that its names call secret, passwords inside URLs, and the
signatures of signed ones. What this project reads back itself is never cut by the environment's values: one of them may be a
part of a bucket's name. Passwords and signatures are held out of it, so that it names the place alone.
"""

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

MASK = "***"
# A shorter value would be found inside ordinary words.
LEAST_LENGTH = 8

_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|AUTH_STRING|ACCESS_KEY|API_KEY", re.IGNORECASE)
_PLACE = re.compile(r"_(PATH|FILE|DIR|MODE)$", re.IGNORECASE)
_IN_URL = re.compile(r"(://[^\s:/@\"'<>]*):[^\s/\"'<>]+@")
_IN_QUERY = re.compile(
    r"\b(X-Amz-Signature|X-Amz-Credential|X-Amz-Security-Token|AWSAccessKeyId|Signature|password|token)=[^\s&\"'<>]+",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Return a text with `***` in the place of every secret."""
    for secret in _known(os.environ):
        text = text.replace(secret, MASK)
    return _IN_QUERY.sub(rf"\1={MASK}", _IN_URL.sub(rf"\1:{MASK}@", text))


def redacted(value: Any) -> Any:
    """Return plain values with every text in them redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {name: redacted(v) for name, v in value.items()}
    return [redacted(v) for v in value] if isinstance(value, list | tuple) else value


def held_out(value: Any) -> Any:
    """Return plain values without the passwords and signatures in their URLs, to be kept and read back."""
    if isinstance(value, str):
        return _IN_QUERY.sub(r"\1=", _IN_URL.sub(r"\1@", value)) if "://" in value else value
    if isinstance(value, Mapping):
        return {name: held_out(v) for name, v in value.items()}
    return [held_out(v) for v in value] if isinstance(value, list | tuple) else value


def _known(environment: Mapping[str, str]) -> set[str]:
    """The secrets of an environment, as they are and as a URL spells them."""
    found = {value for name, value in environment.items() if _SECRET.search(name) and not _PLACE.search(name)}
    found |= {_password(value) for value in environment.values() if "://" in value}
    return {spelled for secret in found if len(secret) >= LEAST_LENGTH for spelled in (secret, quote(secret, safe=""))}


def _password(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""
