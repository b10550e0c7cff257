"""Every fault that the documentation lists has the test that it names."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROW = re.compile(r"^\| .* \| .* \| `([\w/]+\.py)::(test_\w+)` \|$", re.MULTILINE)


def test_every_row_names_a_test() -> None:
    text = (TESTS.parent / "docs" / "faults.md").read_text("utf-8")
    table = text.split("| fault | what follows | test |")[1].strip().splitlines()
    rows = ROW.findall(text)
    assert len(rows) == len(table) - 1 >= 30
    for file, name in rows:
        source = (TESTS / file).read_text("utf-8")
        assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE)
