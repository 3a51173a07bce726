"""What Ray's processes are told beside what Ray tells them."""

import sys
from pathlib import Path

from ray._private import services
from ray._private.ray_constants import PROCESS_TYPE_LOG_MONITOR, PROCESS_TYPE_RAYLET

from labeling.pool.ray_process import raylet_told

PROGRAM = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(' '.join(sys.argv[2:]))"


def test_a_raylet_is_told_more_and_nobody_else(tmp_path: Path) -> None:
    def said(process_type: str) -> str:
        out = tmp_path / process_type
        info = services.start_ray_process([sys.executable, "-c", PROGRAM, str(out), "as ever"], process_type, fate_share=False)
        assert info.process.wait(60) == 0
        return out.read_text()

    with raylet_told("--port=1", "--other=2"):
        assert said(PROCESS_TYPE_RAYLET) == "as ever --port=1 --other=2"
        assert said(PROCESS_TYPE_LOG_MONITOR) == "as ever"
    assert said(PROCESS_TYPE_RAYLET) == "as ever"
