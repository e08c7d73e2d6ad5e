"""Options and arguments that several commands share."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object to stdout and nothing else")]
JobId = Annotated[str, typer.Argument(help="the id that `submit` and delay() return")]
Port = Annotated[int, typer.Option(min=1, max=65_535)]
