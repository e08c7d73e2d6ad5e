"""A table that loses nothing: aligned columns where they fit, else a block of lines for each row.

In a pipe or a file each row is one line, whatever its length, so that `grep` and `awk` see whole rows.
"""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from worker.cli.screen.word_wrap import wrap_words

Cell = str | Text


def print_table(
    console: Console, columns: Sequence[str], rows: Iterable[Sequence[Cell]], right: Sequence[str] = ()
) -> None:
    """Print rows with a header. `right`: columns that are aligned to the right. Text in brackets is no markup."""
    found = [[_text(cell) for cell in row] for row in rows]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_header=any(columns))
    for column in columns:
        table.add_column(column, no_wrap=True, justify="right" if column in right else "left")
    for row in found:
        table.add_row(*row)
    if not console.is_terminal:
        _print_plain(console, table)
    elif Measurement.get(console, console.options.update(max_width=10_000), table).maximum <= console.width:
        console.print(table)
    else:
        _print_blocks(console, columns, found)


def _print_plain(console: Console, table: Table) -> None:
    """Print without the blanks that fill the last column."""
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        console.print(Text(line.rstrip()), soft_wrap=True)


def _print_blocks(console: Console, columns: Sequence[str], rows: Iterable[Sequence[Text]]) -> None:
    for first, *others in rows:
        console.print(first, soft_wrap=True)
        for name, cell in zip(columns[1:], others, strict=True):
            if cell.plain.strip():
                line = Text("  ") + Text(f"{name} " if name else "", style="dim") + cell
                console.print(wrap_words(line, console.width), soft_wrap=True)


def _text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)
