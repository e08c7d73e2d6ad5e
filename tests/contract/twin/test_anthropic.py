"""Anthropic's messages through its own SDK: successful calls, refusals, and faults of the script."""

import base64
from collections.abc import Callable
from typing import Any

import anthropic
import pytest
from pydantic import BaseModel, Field

SONNET = "claude-sonnet-5-5"
CLOSED = {
    "type": "object",
    "properties": {"colours": {"type": "array", "items": {"type": "string"}}, "width": {"type": "integer"}},
    "required": ["colours", "width"],
    "additionalProperties": False,
}
Png = Callable[..., bytes]


class Caption(BaseModel):
    caption: str
    colours: list[str]
    score: float = Field(ge=0, le=1)


def image(data: bytes, media_type: str = "image/png") -> dict[str, Any]:
    source = {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}
    return {"type": "image", "source": source}


def by_url(url: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "url", "url": url}}


def ask(sdk: Any, *content: Any, method: str = "create", **more: Any) -> Any:
    blocks = [*content, {"type": "text", "text": "caption"}]
    usual = {"model": SONNET, "max_tokens": 300, "messages": [{"role": "user", "content": blocks}]}
    return sdk(f"messages.{method}", **usual | more)


def structured(schema: dict[str, Any]) -> dict[str, Any]:
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def test_words_name_what_was_shown(claude: Any, twin: Any, png: Png) -> None:
    message = ask(
        claude, image(png("red", (750, 100))), image(png("blue", kind="jpeg"), "image/jpeg"), system="be brief"
    )

    assert message.stop_reason == "end_turn" and message.model == SONNET and message._request_id.startswith("req_")
    assert "Picture 1: red, 750x100" in message.content[0].text and "Picture 2: blue, 64x48" in message.content[0].text
    assert message.usage.input_tokens > 100 and message.usage.output_tokens > 0
    (record,) = twin.requests()
    used = message.usage.input_tokens, message.usage.output_tokens
    assert record["billed"] == {"units": sum(used), "usd": pytest.approx((used[0] * 2 + used[1] * 10) / 1e6)}
    assert (record["provider"], record["endpoint"], record["state"]) == ("anthropic", SONNET, "COMPLETED")
    assert record["request_id"] == message._request_id and record["headers"]["anthropic-version"]
    assert record["output"]["content"][0]["text"] == message.content[0].text


def test_words_are_the_same_every_time(claude: Any, png: Png) -> None:
    assert len({ask(claude, image(png("red"))).content[0].text for _ in range(3)}) == 1


def test_a_class_is_filled_from_the_pictures(claude: Any, png: Png) -> None:
    parsed = ask(claude, image(png("red")), image(png("green")), method="parse", output_format=Caption).parsed_output

    assert isinstance(parsed, Caption) and parsed.colours == ["red", "green"] and "64x48" in parsed.caption


def test_a_tool_is_used_where_it_must_be(claude: Any, png: Png) -> None:
    tools = [{"name": "emit", "description": "d", "input_schema": CLOSED, "strict": True}]
    choice = {"type": "tool", "name": "emit", "disable_parallel_tool_use": True}
    message = ask(claude, image(png("pink")), tools=tools, tool_choice=choice)

    assert message.stop_reason == "tool_use" and message.content[0].name == "emit"
    assert message.content[0].input == {"colours": ["pink"], "width": 64}
    assert ask(claude, image(png("pink")), tools=tools).stop_reason == "end_turn"


def test_a_picture_may_lie_behind_a_url(claude: Any, twin: Any, png: Png) -> None:
    near = twin.upload(png("purple"))
    text = ask(claude, by_url(near), by_url("https://example.com/far.png")).content[0].text

    assert "Picture 1: purple, 64x48" in text and "https://example.com/far.png, not read" in text


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.com/a.png", "Only HTTPS"),
        ("http://127.0.0.1:9/a.png", "Unable to download"),
        ("x", "Only HTTPS"),
    ],
)
def test_a_url_that_cannot_be_read_is_refused(claude: Any, url: str, message: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=message):
        ask(claude, by_url(url))


def test_a_short_limit_cuts_the_answer(claude: Any, png: Png) -> None:
    message = ask(claude, image(png("red")), max_tokens=3, **structured(CLOSED))

    assert message.stop_reason == "max_tokens" and len(message.content[0].text) == 12


@pytest.mark.parametrize(
    "model", ["claude-sonnet-4-20250514", "claude-3-7-sonnet-20250219", "claude-3-5-sonnet-20241022", "gpt-9"]
)
@pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")
def test_a_retired_or_unknown_model_is_not_found(claude: Any, twin: Any, model: str) -> None:
    with pytest.raises(anthropic.NotFoundError, match=model) as caught:
        ask(claude, model=model)

    assert caught.value.type == "not_found_error" and twin.count() == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
        ({"messages": []}, "messages: "),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "first message must use"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, "text: "),
        ({"extra_body": {"temperature": 1}}, "temperature: Extra inputs are not permitted"),
        ({"tool_choice": {"type": "tool", "name": "emit"}}, "Tool 'emit' not found"),
        (structured({"type": "object", "properties": {}}), "'additionalProperties' must be explicitly set to false"),
        (structured({"type": "string", "maxLength": 3}), "properties maxLength are not supported"),
        (structured({"type": "array", "items": {"type": "integer", "minimum": 3}}), r"schema\.items: .*minimum"),
    ],
)
def test_the_answer_to_a_bad_request_names_the_field(
    claude: Any, twin: Any, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=message) as caught:
        ask(claude, **more)

    assert caught.value.type == "invalid_request_error" and caught.value.request_id.startswith("req_")
    assert twin.count() == 0


@pytest.mark.parametrize(
    ("data", "media_type", "message"),
    [
        (b"no picture", "image/png", "Could not process image"),
        (b"", "image/tiff", "media_type"),
        (b"\x89PNG" + b"\x00" * (5 * 1024 * 1024), "image/png", "image exceeds 5 MB"),
    ],
)
def test_a_bad_picture_is_refused(claude: Any, data: bytes, media_type: str, message: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=message):
        ask(claude, image(data, media_type))


def test_a_picture_must_be_what_it_says(claude: Any, png: Png) -> None:
    with pytest.raises(anthropic.BadRequestError, match="appears to be a image/png"):
        ask(claude, image(png("red"), "image/jpeg"))


@pytest.mark.parametrize(
    ("key", "kind"), [("bad", anthropic.AuthenticationError), ("locked", anthropic.BadRequestError)]
)
def test_a_key_that_is_not_good_is_refused(twin: Any, key: str, kind: Any) -> None:
    client = anthropic.Anthropic(api_key=key, base_url=f"{twin.url}/anthropic", max_retries=0)
    with client, pytest.raises(kind):
        client.messages.create(model=SONNET, max_tokens=9, messages=[{"role": "user", "content": "x"}])
    assert twin.count() == 0


@pytest.mark.parametrize("drop", ["x-api-key", "anthropic-version"])
def test_the_headers_that_every_call_needs(twin: Any, drop: str) -> None:
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01", "Authorization": "", "Host": "api.anthropic.com"}
    body = {"model": SONNET, "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}

    assert twin.http.post("/v1/messages", json=body, headers=headers).status_code == 200
    answer = twin.http.post(
        "/v1/messages", json=body, headers={name: text for name, text in headers.items() if name != drop}
    )
    assert answer.status_code == (401 if drop == "x-api-key" else 400) and drop in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("status", "kind", "error_type"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (413, anthropic.APIStatusError, "request_too_large"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (503, anthropic.APIStatusError, "api_error"),
        (529, anthropic.APIStatusError, "overloaded_error"),
    ],
)
def test_a_status_on_order_has_anthropics_body(claude: Any, twin: Any, status: int, kind: Any, error_type: str) -> None:
    twin.script(provider="anthropic", endpoint=SONNET, call="submit", what="http", status=status, seconds=7)
    with pytest.raises(kind) as caught:
        ask(claude)

    assert (caught.value.status_code, caught.value.type) == (status, error_type) and twin.count() == 0
    assert caught.value.response.headers["retry-after"] == "7" and caught.value.request_id.startswith("req_")
    assert ask(claude).stop_reason == "end_turn"


@pytest.mark.parametrize("what", ["drop", "truncated"])
def test_a_broken_connection_was_a_paid_call(claude: Any, twin: Any, what: str) -> None:
    twin.script(provider="anthropic", call="submit", what=what)
    with pytest.raises(anthropic.APIConnectionError):
        ask(claude)
    assert twin.requests()[0]["billed"]["usd"] > 0


def test_garbage_is_no_message(claude: Any, twin: Any) -> None:
    twin.script(provider="anthropic", call="submit", what="garbage")
    with pytest.raises((anthropic.APIError, ValueError)):
        ask(claude)
    assert twin.count() == 1


@pytest.mark.parametrize("fault", [{"what": "hang", "call": "submit"}, {"what": "stuck"}])
def test_a_silent_service_outlasts_its_caller(claude: Any, twin: Any, fault: dict[str, Any]) -> None:
    twin.script(provider="anthropic", **fault)
    with pytest.raises(anthropic.APITimeoutError):
        ask(claude, timeout=0.5)


def test_a_slow_answer_is_good(claude: Any, twin: Any) -> None:
    twin.script(provider="anthropic", call="submit", what="slow", seconds=0.05)

    assert ask(claude).content


def test_a_refusal_is_a_200(claude: Any, twin: Any) -> None:
    twin.script(what="blocked", body="bio")
    message = ask(claude)

    assert message.stop_reason == "refusal" and message.content == [] and message.stop_details.category == "bio"
    assert twin.requests()[0]["error_type"] == "refusal"


@pytest.mark.parametrize(("what", "reason"), [("bad_schema", "end_turn"), ("max_tokens", "max_tokens")])
def test_json_that_cannot_be_used(claude: Any, twin: Any, what: str, reason: str) -> None:
    twin.script(what=what)
    with pytest.raises(ValueError, match="Caption"):
        ask(claude, method="parse", output_format=Caption)
    assert twin.requests()[0]["output"]["stop_reason"] == reason
    assert ask(claude, method="parse", output_format=Caption).parsed_output


def test_a_run_may_fail_after_it_was_taken(claude: Any, twin: Any) -> None:
    twin.script(what="error", status=529)
    with pytest.raises(anthropic.APIStatusError):
        ask(claude)
    (record,) = twin.requests()
    assert (record["http_status"], record["error_type"]) == (529, "overloaded_error")


def test_nothing_else_is_imitated(claude: Any) -> None:
    with pytest.raises(anthropic.NotFoundError):
        claude("messages.count_tokens", model=SONNET, messages=[{"role": "user", "content": "x"}])
