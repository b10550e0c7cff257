"""Every fault that the documentation lists has the test that it names."""

import re
from pathlib import Path

HERE = Path(__file__).parent
ROW = re.compile(r"^\| .* \| .* \| `(test_\w+\.py)::(test_\w+)` \|$", re.MULTILINE)


def test_every_row_names_a_test() -> None:
    text = (HERE.parent / "docs" / "faults.md").read_text("utf-8")
    table = text.split("| fault | what follows | test |")[1].strip().splitlines()
    rows = ROW.findall(text)
    assert len(rows) == len(table) - 1 >= 30
    for file, name in rows:
        assert re.search(rf"^(async )?def {name}\(", (HERE / file).read_text("utf-8"), re.MULTILINE)
