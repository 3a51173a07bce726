"""Where a command writes its findings: what is in the way is named."""

from pathlib import Path

import pytest

from flows.run.out_folder import out_folder, written_over
from labeling.errors import BadConfiguration


def test_a_file_in_the_way_of_a_folder_is_named_without_a_number(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    with pytest.raises(BadConfiguration, match="out: .*notes.*give a path that can be written"), \
            written_over(tmp_path / "notes" / "README.md", begins="#"):
        pass
    with pytest.raises(BadConfiguration, match="out: .*notes.*give a path that can be written") as error, \
            out_folder(str(tmp_path / "notes" / "deep")):
        pass
    assert "Errno" not in str(error.value)
