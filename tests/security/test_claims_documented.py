"""Every claim of the documentation on security has the test that it names."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROW = re.compile(r"^\| .* \| .* \| `([\w/]+\.py)::(test_\w+)` \|$", re.MULTILINE)
HEAD = "| claim | in short | test |\n|---|---|---|\n"


def test_every_claim_names_a_test() -> None:
    text = (TESTS.parent / "docs" / "security.md").read_text("utf-8")
    lines = [line for line in text.replace(HEAD, "").splitlines() if line.startswith("|")]
    rows = ROW.findall(text)
    assert len(rows) == len(lines) >= 30
    for file, name in rows:
        source = (TESTS / file).read_text("utf-8")
        assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE)
