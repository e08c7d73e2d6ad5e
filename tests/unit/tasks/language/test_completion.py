"""Any question to any language model: which arguments it becomes, what is refused, and which answers are taken."""

import json
from typing import Any

import pytest

from config.catalogue import load_catalogue
from config.mapping import arguments_for
from tasks.language.completion import CompletionCheck, complete
from worker.errors import InvalidRequestError
from worker.jobs.answers import AnswerFaults
from worker.jobs.job import Step
from worker.jobs.status import VALUES
from worker.routing.plan import plan

URL = "https://example.com/a.png"
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 2}}, "required": ["n"]}
CATALOGUE = load_catalogue()
LLM = "openai/gpt-4.1"


def asked(**given: Any) -> Step:
    return complete._read({"prompt": "What is it?", **given})[2]


def sent(step: Step) -> dict[str, Any]:
    return arguments_for(CATALOGUE.find(step.model).first_route, step.arguments, step.extra)


@pytest.mark.parametrize(
    "model", ["claude-sonnet-5-5", "claude-haiku", "gemini-flash", "gemini-3.5-flash-lite", "claude-sonnet-4"]
)
def test_a_vendor_of_the_catalogue_gets_the_words_the_pictures_and_the_schema(model: str) -> None:
    step = asked(model=model, system="Be brief.", images=[URL, URL], json_schema=SCHEMA, max_tokens=500)

    assert step.arguments["images"] == [URL, URL] and step.files == {"images.0": "image", "images.1": "image"}
    assert {**sent(step), "schema": None} == {
        "prompt": "What is it?",
        "system": "Be brief.",
        "max_tokens": 500,
        "schema": None,
    }
    assert sent(step)["schema"]["properties"]["n"] == {"type": "integer", "description": "(minimum 2)"}
    providers = {route.provider for route in CATALOGUE.find(step.model).routes}
    assert "anthropic" in providers and "gemini" in providers, "each is the fallback of the other"


def test_any_other_llm_is_asked_through_fals_router() -> None:
    step = asked(model=LLM, system="Be brief.", temperature=0.5, reasoning=True)

    assert step.model == "openrouter"
    assert sent(step) == {
        "model": LLM,
        "prompt": "What is it?",
        "system_prompt": "Be brief.",
        "max_tokens": 4096,
        "temperature": 0.5,
        "reasoning": True,
    }
    assert asked(model="openrouter", llm=f"{LLM}:free").arguments["llm"] == f"{LLM}:free"
    assert asked(model="fal-ai/any-llm", llm=LLM).arguments["llm"] == LLM, "the older endpoint's name works"


def test_with_pictures_it_is_another_endpoint() -> None:
    step = asked(model=LLM, images=[URL])
    assert (step.model, sent(step)["image_urls"], step.files) == ("openrouter-vision", [URL], {"images.0": "image"})
    assert asked(model="openrouter-vision", llm=LLM, images=[URL]).arguments == step.arguments


def test_the_router_takes_no_schema_so_the_prompt_has_it() -> None:
    step = asked(model=LLM, json_schema=SCHEMA)
    question, instruction, schema = sent(step)["prompt"].rsplit("\n", 2)
    assert question.startswith("What is it?") and "valid against this JSON Schema" in instruction
    assert json.loads(schema)["required"] == ["n"] and "schema" not in sent(step)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"prompt": " "}, "prompt: string should have at least 1 character"),
        ({"prompt": "x" * 100_001}, "prompt: string should have at most 100000"),
        ({"prompt": "é" * 90_000, "system": "é" * 20_000}, None),
        ({"images": [URL] * 21}, "images: list should have at most 20 items"),
        ({"images": ["/etc/passwd"]}, "images.0: must be an http"),
        ({"max_tokens": 1}, "max_tokens: input should be greater than or equal to 256"),
        ({"json_schema": {"type": "object"}}, "json_schema: the whole: an object needs properties"),
        ({"json_schema": []}, "json_schema: input should be"),
        ({"model": "claude-sonet"}, "did you mean claude-sonnet"),
        ({"model": "gpt-4o"}, "model: no model 'gpt-4o': known: claude-haiku-5-5, claude-sonnet-5-5, gemini"),
        ({"model": "flux-dev"}, "flux-dev serves generation.text_to_image; models of this task: claude"),
        ({"model": "fal-ai/flux/dev"}, "model: is no LLM: its id at OpenRouter has the form owner/name"),
        ({"model": "openai/gpt-image-2/edit"}, "model: is no LLM"),
        ({"model": f"{LLM}:free"}, 'model: has a variant: give model="openrouter"'),
        ({"model": LLM, "llm": LLM}, "llm: model names an LLM already"),
        ({"model": "openrouter"}, "llm: is required by openrouter"),
        ({"model": "openrouter", "llm": "gpt"}, "llm: string should match pattern"),
        (
            {"model": "openrouter", "llm": LLM, "images": [URL]},
            "images: is not a parameter of openrouter; these models",
        ),
        ({"model": "openrouter-vision", "llm": LLM}, "images: is required by openrouter-vision"),
        ({"llm": LLM}, "llm: is not a parameter of claude-sonnet-5-5; these models have it: openrouter"),
        ({"temperature": 1}, "temperature: is not a parameter of claude-sonnet-5-5"),
        ({"model": LLM, "extra": {"model": "x"}}, "extra: cannot hold model: this task has parameters for them"),
        ({"model": LLM, "extra": {"image_urls": [URL]}}, "extra: cannot hold image_urls"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_field(given: dict[str, Any], says: str | None) -> None:
    if says is None:
        assert asked(**given)
        return
    with pytest.raises(InvalidRequestError) as refused:
        asked(**given)
    assert says in refused.value.message


def test_it_follows_pictures_and_texts() -> None:
    pictures = {"task": "t", "images": [{"url": URL}]}
    assert complete._given((pictures,), {"prompt": "Which?"}) == {"prompt": "Which?", "images": [{"url": URL}]}
    assert complete._given(({"task": "audio.transcribe", "text": "Hello"},), {}) == {"prompt": "Hello"}


def checked(output: dict[str, Any], **request: Any) -> Any:
    return CompletionCheck().check({"prompt": "p", **request}, output, {})


@pytest.mark.parametrize("output", [{"text": " Red. "}, {"output": "Red.\n"}])
def test_a_text_is_handed_on(output: dict[str, Any]) -> None:
    assert checked(output)[VALUES] == {"text": "Red.", "data": None, "reasoning": None, "llm": None}


@pytest.mark.parametrize(
    "output",
    [{"json": {"n": 2}}, {"output": '{"n": 2}'}, {"output": '```json\n{"n": 2}\n```'}, {"text": ' ```\n{"n":2}```\n'}],
)
def test_json_is_handed_on_with_or_without_a_fence(output: dict[str, Any]) -> None:
    values = checked(output, json_schema=SCHEMA, model=LLM)[VALUES]
    assert (values["data"], json.loads(values["text"]), values["llm"]) == ({"n": 2}, {"n": 2}, LLM)


@pytest.mark.parametrize(
    ("output", "schema", "says"),
    [
        ({"output": " "}, None, "it is empty"),
        ({}, None, "it is empty"),
        ({"output": "", "error": "no such model"}, None, "the model reports: no such model"),
        ({"output": "Re", "partial": True}, None, "it is only a part"),
        ({"output": "It is 2."}, SCHEMA, "it is not JSON"),
        ({"output": '{"n": 1}'}, SCHEMA, "n: breaks minimum 2"),
        ({"json": {"n": "2"}}, SCHEMA, "n: must be integer"),
        ({"json": {"n": 2, "m": 3}}, SCHEMA, "a property that the schema does not name"),
        ({"output": "[" * 100_000}, SCHEMA, "it is not JSON"),
        ({"output": "```" + "\n" * 200_000}, SCHEMA, "it is not JSON"),
        ({"output": "x" * 1_000_001}, None, "it has 1000001 characters; allowed: 1000000"),
    ],
)
def test_an_answer_that_cannot_be_used_is_a_fault(output: dict[str, Any], schema: Any, says: str) -> None:
    faults = checked(output, **({"json_schema": schema} if schema else {}))
    assert isinstance(faults, AnswerFaults) and says in faults.text
    assert says in CompletionCheck().repair({"prompt": "p"}, faults)["prompt"]


@pytest.mark.parametrize(("model", "name"), [(LLM, "stream:openrouter"), ("openrouter", "stream:openrouter")])
def test_a_stream_of_openrouter_goes_past_fals_queue(model: str, name: str) -> None:
    more = {"llm": LLM} if model == "openrouter" else {}
    step = asked(model=model, stream=True, **more)
    route = CATALOGUE.find_for("language.complete", step.model).first_route
    assert (step.model, route.provider, route.endpoint) == (name, "fal-stream", "openrouter/router")
    arguments = arguments_for(route, step.arguments, step.extra)
    assert (arguments["model"], "stream" in arguments) == (LLM, False)


@pytest.mark.parametrize("model", ["claude-haiku", "gemini-flash"])
def test_a_stream_of_a_vendor_is_an_argument_that_no_fallback_loses(model: str) -> None:
    step = asked(model=model, stream=True)
    found = CATALOGUE.find(step.model)
    assert all(plan(found, route, step).may_follow(allow_degraded=False) for route in found.routes)
    assert sent(step)["stream"] is True


def test_a_stream_cannot_be_asked_for_in_extra() -> None:
    with pytest.raises(InvalidRequestError, match="extra: cannot hold stream"):
        asked(extra={"stream": True})
