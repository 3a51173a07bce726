"""Measures one pair in a process of its own, so that peaks of memory do not mix: `python -m flows.bench.child`.

What is asked comes as JSON on stdin, what was measured goes as JSON to stdout.
"""

import dataclasses
import json
import subprocess
import sys

from flows.bench.measure import Asked, Row, measure
from labeling.errors import LabelingError


def measured_apart(asked: Asked, *, threads: int) -> Row:
    """Measure in a child with that many threads; raises LabelingError where the child does not come to its end."""
    told = json.dumps({"asked": dataclasses.asdict(asked), "threads": threads})
    child = [sys.executable, "-m", "flows.bench.child"]
    done = subprocess.run(child, input=told, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise LabelingError(
            f"objects={asked.objects}, length={asked.length}: the process that measures ended with code "
            f"{done.returncode}; see its message above, or, without one, look for too little memory"
        )
    return Row(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Answer one question."""
    import torch

    told = json.load(sys.stdin)
    torch.set_num_threads(told["threads"])
    print(json.dumps(dataclasses.asdict(measure(Asked.from_dict(told["asked"])))))


if __name__ == "__main__":
    main()
