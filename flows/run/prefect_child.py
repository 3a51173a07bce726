"""Prefect's server on a port of this machine's loopback, until the process that started it is gone.

Started as a program by `flows.run.prefect_server`, which holds the other end of its standard input: whatever way that process
ends, the end of the input comes through. It imports nothing of ours.
"""

import os
import signal
import sys
import threading
import time

END_S = 5.0


def end_with_parent() -> None:
    """Wait for the end of the input, then end this process, softly at first."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_S)
    os._exit(1)


if __name__ == "__main__":
    import uvicorn

    threading.Thread(target=end_with_parent, daemon=True).start()
    uvicorn.run(
        "prefect.server.api.server:create_app", factory=True, host="127.0.0.1", port=int(sys.argv[1]), log_level="error",
        lifespan="on",
    )
