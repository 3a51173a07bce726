"""The stack's way to start a node of Ray takes what `ray start` takes."""

import subprocess
import sys
from pathlib import Path

from flows.stack.parts import parts_of
from flows.stack.stack import open_stack


def test_options_of_the_stacks_nodes_are_rays(tmp_path: Path) -> None:
    asked = [sys.executable, "-m", "flows.stack.ray", "start", "--dashboard-agent-listen-port=1", "--help"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    nodes = [part for part in parts_of(open_stack(tmp_path))[0] if part.name.startswith("ray-")]
    assert len(nodes) == 3
    for node in nodes:
        assert node.command[1:4] == ("-m", "flows.stack.ray", "start")
        options = {word.partition("=")[0] for word in node.command if word.startswith("--")}
        assert "--dashboard-agent-listen-port" in options
        # Ray hides these two in its help.
        assert {option for option in options if option not in told.stdout} <= {"--no-monitor", "--include-log-monitor"}
