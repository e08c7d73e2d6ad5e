"""`kilnhand models`: the catalogue as a table or as JSON. Imports no large package, so that it starts fast."""

from typing import Any

from rich.table import Table
from rich.text import Text

from config.catalogue import load_catalogue
from config.model import Model, Price
from worker.cli.errors import CliError
from worker.cli.screen import terminal

IMAGE_PARAMETERS = {"loras": "LoRAs", "negative_prompt": "negative prompt", "num_images": "several", "seed": "seed"}
COMMON_PARAMETERS = frozenset({"prompt", "system", "schema"})  # the same for all models of a kind


def models(task: str | None, as_json: bool) -> int:
    """Show all models, or those that serve a task."""
    catalogue = load_catalogue()
    found = catalogue.models if task is None else catalogue.for_task(task)
    if not found:
        tasks = sorted({name for model in catalogue.models for name in model.task})
        raise CliError(f"no model serves {task!r}; the tasks are {', '.join(tasks)}", status=2)
    if as_json:
        terminal.print_json([_as_json(model) for model in found])
    else:
        _show(found)
    return 0


def _show(found: tuple[Model, ...]) -> None:
    out = terminal.out()
    for name in dict.fromkeys(name for model in found for name in model.task):
        table = Table(title=name, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
        for column in ("model", "price", "usual", "takes"):
            table.add_column(column, header_style="dim", no_wrap=column != "takes")
        table.add_column("endpoint, aliases, note", header_style="dim", overflow="fold")
        for model in found:
            if name in model.task:
                table.add_row(
                    Text(model.name, style="cyan"),
                    price(model.price),
                    f"{model.usual_s:g} s",
                    ", ".join(takes(model)),
                    _about(model),
                )
        out.print(table)
        out.print()
    out.print(Text("Any other endpoint id (owner/name) is passed through unchanged.", style="dim"))


def _about(model: Model) -> Text:
    endpoints = [route.endpoint for route in model.routes]
    text = Text(", ".join(dict.fromkeys(endpoints)))
    if others := [alias for alias in model.aliases if alias not in endpoints]:
        text.append(f"\nalso {', '.join(others)}", style="dim")
    if model.note:
        text.append(f"\n{model.note}", style="dim italic")
    return text


def price(price: Price | None) -> str:
    """What one unit costs, or a dash if the price is unknown."""
    if price and price.usd_out is not None:
        return f"${price.usd:g} in, ${price.usd_out:g} out /M tokens"
    return f"${price.usd:g}/{price.per}" if price else "–"


def takes(model: Model) -> list[str]:
    """The parameters it takes besides the prompt. For image models: only those in which the models differ."""
    if any(name.startswith("generation.") for name in model.task):
        return [word for name, word in IMAGE_PARAMETERS.items() if model.takes(name)]
    return [name for name in model.first_route.takes if name not in COMMON_PARAMETERS]


def _as_json(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "title": model.title,
        "task": list(model.task),
        "aliases": list(model.aliases),
        "endpoints": [{"provider": route.provider, "endpoint": route.endpoint} for route in model.routes],
        "price": model.price.model_dump() if model.price else None,
        "usual_s": model.usual_s,
        "takes": sorted(model.first_route.takes),
        "limits": {name: limit.model_dump(exclude_none=True) for name, limit in model.limits.items()},
        "note": model.note,
    }
