"""Options that several commands have."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on stdout and nothing else")]
JobId = Annotated[str, typer.Argument(help="as submit and delay() give it")]
