"""A hundredth of the campaign, and that it can tell what is wrong."""

from pathlib import Path

from tests.campaigns.prompt_rows import CASES, campaign, neighbours, tried


def test_mutated_rows_cost_themselves_alone() -> None:
    figures = campaign(CASES // 100, seed=7)
    assert figures.wrong == []
    assert min(figures.rows["bad"], figures.rows["read"]) > 100
    assert sorted(figures.tables) == ["csv", "jsonl", "parquet"]


def test_what_is_wrong_is_seen(tmp_path: Path) -> None:
    good = list(neighbours(3))
    (tmp_path / "t.jsonl").write_text("\n".join(map(str, good)))
    assert "0 of 3 neighbours" in tried(tmp_path / "t.jsonl", tmp_path / "store", 3)[0]
    (tmp_path / "t.jsonl").write_text("[")
    assert tried(tmp_path / "t.jsonl", tmp_path / "store", 3)[0].startswith("BadConfiguration")
