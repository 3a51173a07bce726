"""The wheel holds what a user without a checkout needs."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=TOP, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_yaml_is_in_the_wheel(names: set[str]) -> None:
    wanted = {f"flows/{path.relative_to(TOP)}" for path in (TOP / "configs").rglob("*.yaml")}
    assert wanted
    assert wanted <= names


def test_every_source_and_template_is_in_the_wheel(names: set[str]) -> None:
    kinds = {".py", ".html", ".css", ".js", ".svg", ".mako", ".json", ".safetensors", ".typed"}
    wanted = {
        str(path.relative_to(TOP))
        for folder in ("flows", "sam2", "labeling")
        for path in (TOP / folder).rglob("*")
        if path.suffix in kinds
    }
    assert wanted <= names


def test_nothing_else_is_in_the_wheel(names: set[str]) -> None:
    assert {name.split("/")[0] for name in names} <= {"flows", "sam2", "labeling", "samurai_labeling-0.1.0.dist-info"}


def test_the_page_of_third_parties_names_what_is_installed() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    extras = [line for name, lines in project["optional-dependencies"].items() if name != "dev" for line in lines]
    packages = {re.match(r"[\w-]+", line)[0] for line in [*project["dependencies"], *extras]} - {project["name"]}
    rows = re.findall(r"^\| ([\w-]+) \| ([^|]+) \|", (TOP / "THIRD_PARTY.md").read_text(), re.MULTILINE)
    assert {name for name, _ in rows[1:]} - {"---"} == packages
    assert not [name for name, licence in rows if re.search(r"\b(A?GPL)\b", licence)]
