"""Every case of the parity folder beside the repository, one by one: prompts on real frames and the released answers."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

PARITY = Path(__file__).resolve().parents[3] / "shared" / "parity"
CASES = sorted(path.stem for path in (PARITY / "cases").glob("*.json"))


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("parity_check", PARITY / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not CASES, reason=f"no parity cases at {PARITY}")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_equals_the_released_answers(check: ModuleType, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = check.main({name})
    assert status == 0, capsys.readouterr().out
