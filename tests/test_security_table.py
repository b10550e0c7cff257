"""Every claim of the documentation on security has the test that it names."""

import re
from pathlib import Path

HERE = Path(__file__).parent
ROW = re.compile(r"^\| .* \| .* \| `(test_\w+\.py)::(test_\w+)` \|$", re.MULTILINE)
HEAD = "| claim | in short | test |\n|---|---|---|\n"


def test_every_claim_names_a_test() -> None:
    text = (HERE.parent / "docs" / "security.md").read_text("utf-8")
    lines = [line for line in text.replace(HEAD, "").splitlines() if line.startswith("|")]
    rows = ROW.findall(text)
    assert len(rows) == len(lines) >= 30
    for file, name in rows:
        assert re.search(rf"^(async )?def {name}\(", (HERE / file).read_text("utf-8"), re.MULTILINE)
