import io
import json
import sys

import pytest
from rich.console import Console
from rich.text import Text

from worker.cli.screen import terminal
from worker.cli.screen.ascii_signs import replace_missing_signs
from worker.cli.screen.tables import print_table
from worker.cli.screen.word_wrap import wrap_words

URL = "http://127.0.0.1:8080/files/jobs/948c9c14066444ac973598c399df7b4e/images-0.jpg?expires=1796506917&signature=x"
ROWS = [("flower", "http://127.0.0.1:5555"), ("redis", "redis://127.0.0.1:6399/0")]


def ascii_stdout(monkeypatch: pytest.MonkeyPatch) -> io.TextIOWrapper:
    """The stdout from here on. In the test itself: pytest sets its own stdout when a test begins."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    replace_missing_signs()
    return stream


def written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue().decode("ascii")


def shown(width: int, is_terminal: bool = True) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=is_terminal, no_color=True, color_system=None)
    print_table(console, ("process", "address"), ROWS)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [20, 40, 80])
def test_text_is_wrapped_between_words_and_no_word_is_cut(width: int) -> None:
    text = f"  \u2192 start one with `kilnhand up`, or look at {URL} now and then"
    lines = wrap_words(Text(text), width).plain.split("\n")
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())
    assert all(len(line.rstrip()) <= width or URL in line for line in lines)
    assert all(line.startswith("  ") for line in lines), "a continued line keeps the indent"


def test_lines_and_styles_stay() -> None:
    text = Text("one two\n\nthree", style="red")
    assert wrap_words(text, 80).plain == "one two\n\nthree"
    assert {span.style for span in wrap_words(text, 4).spans} == {"red"}


def test_a_table_that_fits_has_columns() -> None:
    assert [line.split() for line in shown(80).splitlines()][:2] == [["process", "address"], ["flower", ROWS[0][1]]]


def test_a_table_that_does_not_fit_is_written_as_blocks_with_whole_values() -> None:
    assert shown(30).splitlines()[:3] == ["flower", "  address", "  http://127.0.0.1:5555"]


def test_in_a_pipe_a_row_is_a_line_without_blanks_at_its_end() -> None:
    lines = shown(terminal.UNLIMITED, is_terminal=False).splitlines()
    assert lines == [line.rstrip() for line in lines] and lines[1].split() == list(ROWS[0])


def test_the_width_of_a_pipe_has_no_limit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    terminal.out().print(Text("word " * 100))
    assert capsys.readouterr().out.count("\n") == 1


def test_signs_that_the_encoding_lacks_are_replaced_or_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = ascii_stdout(monkeypatch)
    terminal.out().print(Text("\u2713 store: \u2192 512\u00d7512 \u2026 caf\u00e9 \U0001f98a"))
    assert written(stdout) == "+ store: -> 512x512 ... caf\\xe9 \\U0001f98a\n"


def test_json_is_json_in_every_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = ascii_stdout(monkeypatch)
    value = {"prompt": "caf\u00e9 \U0001f98a \u2713"}
    terminal.print_json(value)
    assert json.loads(written(stdout)) == value


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert not terminal.can_redraw(Console(force_terminal=True))
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.can_redraw(Console(force_terminal=True))
