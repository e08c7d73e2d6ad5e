"""What the tables of models in docs/tasks/pictures.md say is so. A new model may come without a row."""

from pathlib import Path

import pytest

from config.catalogue import Model, load_catalogue

PAGE = (Path(__file__).parents[3] / "docs/tasks/pictures.md").read_text(encoding="utf-8")
REQUIRED = {"prompt", "images"}


def _row(model: Model) -> str:
    names = ", ".join(f"`{name}`" for name in (model.name, *model.aliases) if "/" not in name)
    route = model.first_route
    endpoint = route.endpoint if route.provider == "fal" else f"{route.endpoint} ({route.provider})"
    parameters = " ".join(name for name in route.takes if name not in REQUIRED)
    return f"| {names} | `{endpoint}` | {parameters} | {_price(model)} |"


def _price(model: Model) -> str:
    price = model.price
    if price is None:
        return "not in the catalogue"
    usd = f"{price.usd:g} a{'n' if price.per == 'image' else ''} {price.per}"
    if price.large:
        return f"{usd}, {price.usd * price.large.units:g} above {price.large.over / 1e6:.2f} megapixels"
    factors = {f"{price.usd * units:g} at {name}" for name, units in price.units_at.items() if units != 1}
    factors |= {f"{each:g} at {name}" for name, each in price.usd_at.items()}
    return ", ".join([usd, *sorted(factors)])


@pytest.mark.parametrize("task", ["text_to_image", "image_to_image"])
def test_each_row_of_the_table_is_the_catalogues(task: str) -> None:
    table = PAGE.split(f"\n## Models of {task}\n\n")[1].split("\n\n## ")[0].strip()
    shown = table.splitlines()[2:]
    true = [_row(model) for model in load_catalogue().for_task(f"generation.{task}")]

    assert [row for row in shown if row not in true] == []
    assert len(shown) == len(set(shown)) > 15
