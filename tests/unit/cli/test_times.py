"""Times as people write them on the command line."""

import pytest

from worker.cli.errors import CliError
from worker.cli.times import read_time

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("30s", NOW - 30),
        ("1.5h", NOW - 5_400),
        ("7d", NOW - 604_800),
        ("2023-11-14", 1_699_920_000.0),
        ("2023-11-14T01:00", 1_699_923_600.0),
        ("2023-11-14T01:00:00Z", 1_699_923_600.0),
        (" 2023-11-14T02:00+01:00 ", 1_699_923_600.0),
    ],
)
def test_a_time_is_a_date_a_moment_or_how_long_ago(text: str, at: float) -> None:
    assert read_time("--since", text, NOW) == at


@pytest.mark.parametrize("text", ["", "yesterday", "7 days", "-3h", "nan"])
def test_another_word_is_refused_with_the_option(text: str) -> None:
    with pytest.raises(CliError, match="--until") as refused:
        read_time("--until", text, NOW)
    assert refused.value.status == 2
