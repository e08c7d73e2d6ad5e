"""`kilnhand models`: the catalogue as text or as JSON. Imports no large package, so that it starts fast."""

from typing import Any

from rich.console import Console
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
    """A block of lines for each model. A table would be 300 columns wide."""
    out = terminal.out()
    for name in dict.fromkeys(name for model in found for name in model.task):
        out.print(Text(name, style="bold"))
        for model in (model for model in found if name in model.task):
            _show_block(out, model)
        out.print()
    out.print(Text("Any other endpoint id (owner/name) is passed through unchanged.", style="dim"))


def _show_block(out: Console, model: Model) -> None:
    cost = price(model.price) if model.price else "price unknown"
    out.print(Text(f"  {model.name}", style="cyan").append(f"  {cost}, usually {model.usual_s:g} s", style="default"))
    endpoints = list(dict.fromkeys(route.endpoint for route in model.routes))
    lists = {
        "takes": takes(model),
        "endpoints": endpoints,
        "also named": [alias for alias in model.aliases if alias not in endpoints],
    }
    for title, values in lists.items():
        if values:
            out.print(Text(f"    {title}: ", style="dim").append(", ".join(values), style="default"))
    if model.note:
        out.print(Text(f"    {model.note}", style="italic"))


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
