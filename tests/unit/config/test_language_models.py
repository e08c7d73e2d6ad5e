"""Language models: required names, retired ones too, find a current model, with the other vendor as fallback."""

import pytest
from pydantic import ValidationError

from config.catalogue import Catalogue, load_catalogue
from config.mapping import arguments_for
from config.model import Price
from tasks.language.requests import REQUESTS
from worker.routing.routes import call_files

CLAUDE, GOOGLE = {"anthropic"}, {"gemini", "vertex"}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("claude-sonnet-4", "claude-sonnet-5-5"),
        ("claude-sonnet-4-20250514", "claude-sonnet-5-5"),
        ("claude-3-5-sonnet-20241022", "claude-haiku-5-5"),
        ("gemini-3-pro", "gemini-3.8-flash"),
        ("gemini-2.5-flash", "gemini-3.8-flash"),
        ("gemini-flash", "gemini-3.8-flash"),
        ("gemini-2.0-flash", "gemini-3.5-flash-lite"),
        ("gemini-3.5-flash-lite", "gemini-3.5-flash-lite"),
    ],
)
def test_a_name_of_the_brief_finds_what_answers_today(catalogue: Catalogue, said: str, meant: str) -> None:
    assert catalogue.find(said).name == meant


@pytest.mark.parametrize("task", REQUESTS)
def test_every_language_model_has_the_other_vendor_behind_it(catalogue: Catalogue, task: str) -> None:
    models = catalogue.for_task(task)

    assert REQUESTS[task].model_fields["model"].default in [model.name for model in models]
    for model in models:
        first, *others = (route.provider for route in model.routes)
        assert (set(others) - {first}) & (GOOGLE if {first} == CLAUDE else CLAUDE), model.name
        assert all(model.price_on(route) for route in model.routes)


def test_every_route_gets_the_same_arguments_and_the_images_as_files(catalogue: Catalogue) -> None:
    request = REQUESTS["language.caption"].model_validate({"images": ["https://a.b/1", "https://a.b/2"]})
    for model in catalogue.for_task("language.caption"):
        step = request.step(model)
        assert catalogue.problems(model, step.arguments) == []
        for route in model.routes:
            assert set(arguments_for(route, step.arguments, {})) == {"system", "prompt", "schema", "max_tokens"}
            assert [file.ref for file in call_files(route, step).in_call] == ["https://a.b/1", "https://a.b/2"]


def test_tokens_have_a_price_for_reading_and_one_for_writing() -> None:
    price = Price(usd=2, usd_out=10, per="token")

    assert price.usd_of_tokens(1000, 100) == pytest.approx(0.003)
    assert Price(usd=1, per="image").usd_of_tokens(1, 1) is None
    for wrong in ({"usd": 1, "per": "token"}, {"usd": 1, "usd_out": 1, "per": "image"}):
        with pytest.raises(ValidationError, match="usd_out is required for a price per token"):
            Price.model_validate(wrong)
