"""A command line, typed in this process."""

import re

from typer.testing import CliRunner

from flows.cli.app import app


def typed(*words: object) -> str:
    """Run one command that is to end with 0 and return what it said, without colours."""
    told = CliRunner().invoke(app, [str(word) for word in words])
    if told.exception and not isinstance(told.exception, SystemExit):
        raise told.exception
    assert told.exit_code == 0, told.output
    return re.sub(r"\x1b\[[0-9;]*m", "", told.output)
