"""What programs written for the released `sam2` do with it, each in a few lines, beside what the released package answered.

python -m tests.campaigns.client_programs [NAME ...]; exit 1 where an answer differs. The answers in
`client_programs.json` are those of facebookresearch/sam2 at 2b90b9f (float32, one CPU thread); `--record FILE [NAME ...]`
writes the answers of whichever `sam2` is on the path.
"""

import importlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.campaigns.clients.kit import PROGRAMS

ANSWERS = Path(__file__).with_name("client_programs.json")

for part in ("calls", "networks", "settings", "states", "steps", "stills"):
    importlib.import_module(f"tests.campaigns.clients.{part}")


def answer_of(name: str) -> Any:
    """Return what a program answers, as JSON has it: tensors by their shape, mean, spread and share above 0."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return json.loads(json.dumps(_plain(PROGRAMS[name]())))


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor | np.ndarray):
        numbers = torch.as_tensor(np.array(value) if isinstance(value, np.ndarray) else value).detach().float()
        spread = float(numbers.std()) if numbers.numel() > 1 else 0.0
        above = float((numbers > 0).float().mean())
        return {"shape": list(numbers.shape), "mean": float(numbers.mean()), "spread": spread, "above": above}
    if hasattr(value, "items"):
        return {str(key): _plain(x) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(x) for x in value]
    return value.item() if isinstance(value, np.generic) else value


def differences(got: Any, wanted: Any, where: str = "") -> list[str]:
    """Return where two answers differ by more than rounding."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        names = [f"{where} has {sorted(got)}, released {sorted(wanted)}"] if got.keys() != wanted.keys() else []
        return names + [line for key in wanted if key in got for line in differences(got[key], wanted[key], f"{where}.{key}")]
    if isinstance(wanted, list) and isinstance(got, list) and len(got) == len(wanted):
        return [line for k, pair in enumerate(zip(got, wanted, strict=True)) for line in differences(*pair, f"{where}[{k}]")]
    near = isinstance(wanted, float) and isinstance(got, float | int) and abs(got - wanted) <= 2e-3 * max(1.0, abs(wanted))
    return [] if near or got == wanted else [f"{where} is {str(got)[:80]}, released {str(wanted)[:80]}"]


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--record"]:
        recorded = {}
        for name in arguments[2:] or PROGRAMS:
            try:
                recorded[name] = answer_of(name)
            except Exception as error:
                print(name, type(error).__name__, error)
        Path(arguments[1]).write_text(json.dumps(recorded, indent=0, default=str))
        return 0
    wanted, failed = json.loads(ANSWERS.read_text()), 0
    for name in arguments or PROGRAMS:
        try:
            lines = differences(answer_of(name), wanted[name])
        except Exception as error:
            lines = [f"{type(error).__name__}: {error}"]
        failed += bool(lines)
        print("ok  " if not lines else "FAIL", name, *lines[:3], sep="\n     " if lines else " ")
    print(f"{len(arguments or PROGRAMS) - failed} of {len(arguments or PROGRAMS)} programs answer as released")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
