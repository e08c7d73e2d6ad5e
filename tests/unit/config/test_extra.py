"""Which parameters of `extra` may pass, by provider."""

from typing import Any

import pytest

from config.extra import ALLOWED, extra_problems
from worker.errors import InvalidRequestError
from worker.providers.table import PROVIDERS


def test_every_provider_has_a_list() -> None:
    assert ALLOWED.keys() == PROVIDERS.keys()
    assert list(extra_problems("a provider of tomorrow", {"x": 1})), "nothing passes to a provider without a list"


@pytest.mark.parametrize(
    ("provider", "extra", "refused"),
    [
        ("anthropic", {"temperature": 0, "stop_sequences": ["END"], "top_k": 3, "metadata": {"user_id": "u"}}, []),
        ("anthropic", {"output_config": {"effort": "low"}}, []),
        ("anthropic", {"output_config": {"format": {}}}, ["extra.output_config.format"]),
        ("anthropic", {"metadata": {"other": 1}}, ["extra.metadata.other"]),
        ("anthropic", {"temperature": {"tools": []}}, ["extra.temperature"]),
        *(
            ("anthropic", {name: {}}, [f"extra.{name}"])
            for name in ("system", "tools", "tool_choice", "mcp_servers", "thinking", "container", "service_tier")
        ),
        ("gemini", {"resolution": "2K"}, []),
        ("gemini", {"system": "x", "tools": [], "cached_content": "c"}, ["extra.system", "extra.tools", "extra.cached_content"]),
        ("vertex", {"negative_prompt": "x", "labels": {}}, ["extra.labels"]),
        ("fal", {"acceleration": "high", "any": {"thing": 1}}, []),
        ("fal", {"sync_mode": False}, ["extra.sync_mode"]),
    ],
)  # fmt: skip
def test_what_passes(provider: str, extra: dict[str, Any], refused: list[str]) -> None:
    assert [field for field, _ in extra_problems(provider, extra)] == refused


def test_delay_refuses_what_may_not_pass() -> None:
    from tasks.language import analyse

    fields = {"images": ["https://a.example/1.png"], "questions": ["?"]}
    for name in ("mcp_servers", "tools", "thinking", "system"):
        with pytest.raises(InvalidRequestError, match=name):
            analyse._read({**fields, "extra": {name: []}})
    assert analyse._read({**fields, "extra": {"temperature": 0.2}})


def test_a_url_of_another_tenants_file_is_refused_in_extra_too() -> None:
    from tasks.generation import text_to_image

    url = "http://127.0.0.1:8080/files/jobs/t-acme/5b0f/images-0.png?expires=1&signature=x"
    request = {"prompt": "x", "model": "flux-dev", "extra": {"image": {"url": url}}}
    with pytest.raises(InvalidRequestError, match=r"extra\.image\.url: this URL is of a file of another tenant"):
        text_to_image._read({**request, "tenant": "other"})
    assert text_to_image._read({**request, "tenant": "acme"})
