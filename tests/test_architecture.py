"""`docs/architecture.md` and README's table of folders speak of what is there."""

import re
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PAGE = TOP / "docs" / "architecture.md"
TOPS = ("flows", "labeling", "sam2", "configs", "infra", "tests", "docs")
MAX_LINES = 120


def named_in(text: str) -> set[str]:
    """Every file, folder or module that a page names in backquotes."""
    words = {word.strip("`") for word in re.findall(r"`[^`\n]+`", text)}
    return {word for word in words if re.fullmatch(rf"(?:{'|'.join(TOPS)})(?:/[\w./-]*|\.[\w.]+)", word)}


def is_there(name: str) -> bool:
    if "/" in name:
        return (TOP / name).is_dir() if name.endswith("/") else (TOP / name).is_file()
    path = TOP.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_the_page_is_short() -> None:
    assert len(PAGE.read_text().splitlines()) <= MAX_LINES


def test_what_the_page_names_is_there() -> None:
    names = named_in(PAGE.read_text())
    assert len(names) > 50
    assert not [name for name in sorted(names) if not is_there(name)]


def test_the_files_that_the_readme_names_are_there() -> None:
    names = {name for name in named_in((TOP / "README.md").read_text()) if "/" in name}
    assert len(names) > 15
    assert not [name for name in sorted(names) if not is_there(name)]


def test_the_page_names_every_room() -> None:
    text = PAGE.read_text()
    for folder in ("flows", "labeling", "sam2"):
        rooms = sorted(path.name for path in (TOP / folder).iterdir() if path.is_dir() and any(path.glob("*.py")))
        assert not [room for room in rooms if room not in text and room != "utils"], folder
    leaves = {path.stem.split("_")[0] for path in (TOP / "labeling").glob("*.py")} - {"__init__"}
    assert not [leaf for leaf in sorted(leaves) if not re.search(rf"\b{leaf}\b", text)]
