"""Control signs of strangers reach neither a log on a terminal nor the screen."""

import io
import json
import sys
import unicodedata
from collections.abc import Iterator

import pytest
import structlog
from rich.table import Table
from rich.text import Text

from config.control_signs import escape_control, escape_line
from config.logging import configure
from worker.cli.screen import terminal
from worker.cli.screen.results import show_url

EVIL = "a\x1b]0;title\x07\x1b[2J\x9b31m\rb\u202ec\u2028d\x00"


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    kept = structlog.get_config()
    yield
    structlog.configure(**kept)


def _obeyed(text: str, allowed: str = "\n\t") -> list[str]:
    """The signs that a terminal would obey."""
    return [sign for sign in text if unicodedata.category(sign) in {"Cc", "Cf", "Zl", "Zp"} and sign not in allowed]


def test_every_control_sign_is_escaped_and_everything_else_stays() -> None:
    every = "".join(map(chr, range(0x3000)))
    assert not [sign for sign in _obeyed(escape_control(every)) if unicodedata.category(sign) != "Cf"]
    assert escape_control("näher, 漢字 🙂\tx\ny") == "näher, 漢字 🙂\tx\ny"
    assert escape_line("x\ny\tz") == "x\\u000ay\\u0009z"
    assert not _obeyed(escape_control(EVIL))


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_log_line_is_one_line_without_control_signs(form: str) -> None:
    configure(form, stream=(stream := io.StringIO()))  # type: ignore[arg-type]
    structlog.get_logger("worker").warning("webhook_refused", job=EVIL + "\nforged", more=[EVIL], why={EVIL: EVIL})
    import logging

    logging.getLogger("another.logger").warning("%s\nforged", EVIL)
    text = stream.getvalue()
    assert text.count("\n") == 2
    assert not _obeyed(text)


def test_a_traceback_keeps_its_lines() -> None:
    configure("console", stream=(stream := io.StringIO()))
    try:
        raise ValueError(EVIL)
    except ValueError:
        structlog.get_logger("worker").exception("advance_failed")
    assert not _obeyed(stream.getvalue())
    assert stream.getvalue().count("\n") > 3


def test_the_screen_shows_control_signs_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("model")
    table.add_row(EVIL)
    for each in (EVIL, Text(EVIL), Text(f"why: {EVIL}", style="red"), table):
        terminal.out().print(each, soft_wrap=True)
        terminal.err().print(each)
    terminal.print_json({"error": EVIL})
    show_url(terminal.out(), f"https://a.example/{EVIL}")
    written = capsys.readouterr()
    assert not _obeyed(written.out + written.err)
    assert r"\u001b[2J" in written.out


def test_json_on_the_screen_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_json({"error": EVIL})
    assert json.loads(capsys.readouterr().out) == {"error": EVIL}


def test_colours_of_our_own_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", stream := io.StringIO())
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal.out().print(Text(f"red {EVIL}", style="red"))
    assert stream.getvalue().startswith("\x1b[31mred ")
    assert EVIL[1:5] not in stream.getvalue()
