"""docs/security.md names tests that exist."""

import re

import pytest

from tests.unit.deploy.compose_file import ROOT

PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
LINES = [line for line in PAGE.splitlines() if "`tests/" in line]


@pytest.mark.parametrize("line", LINES)
def test_every_test_that_holds_a_rule_exists(line: str) -> None:
    path = ""
    for named, test in re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", line):
        path = named or path
        text = (ROOT / path).read_text(encoding="utf-8")
        assert not test or re.search(rf"def {test}\(", text), f"{path}::{test}"


def test_every_rule_has_a_test() -> None:
    rules = [line for line in PAGE.splitlines() if line.startswith("| ") and "test |" not in line]
    table = PAGE.index("## Tenants and files")
    assert [line for line in rules if PAGE.index(line) > table and line not in LINES] == []
