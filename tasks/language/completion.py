"""Any question to any language model: text and pictures in, text or JSON of the caller's own schema out.

Models of the catalogue are asked at their vendors. Any other LLM is asked by its id at OpenRouter, which fal resells.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, JsonValue, StringConstraints, field_validator, model_validator

from config.catalogue import Model
from tasks.language.caller_schema import for_vendors, read_schema
from tasks.language.checks import repaired
from tasks.language.requests import MAX_IMAGES, Name
from tasks.language.schema_faults import faults_of
from worker.edge.task import job_task
from worker.jobs.answers import AnswerFaults
from worker.jobs.file_refs import Images
from worker.jobs.job import Step
from worker.jobs.request import BaseRequest
from worker.jobs.status import VALUES, JobResult
from worker.net.answer_json import read_json

ROUTER, ROUTER_WITH_PICTURES = "openrouter", "openrouter-vision"
_LLM = r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+(:[A-Za-z0-9._-]+)?$"
_LLM_ID = re.compile(_LLM)
_ENDPOINTS = ("openrouter/router", "fal-ai/any-llm")  # of the models that take any LLM
_OURS = frozenset(
    {"image_urls", "images", "llm", "max_tokens", "model", "prompt", "reasoning", "schema", "stream", "system"}
    | {"system_prompt", "temperature"}
)
MAX_ANSWER = 1_000_000  # characters; 32,000 tokens are some 130,000
_FENCES = frozenset({"```", "```json"})
_JSON_ONLY = "Answer with one JSON object and nothing else. It must be valid against this JSON Schema:"

Prompt = Annotated[str, StringConstraints(min_length=1, max_length=100_000, strip_whitespace=True)]
System = Annotated[str, StringConstraints(min_length=1, max_length=20_000, strip_whitespace=True)]


class Complete(BaseRequest):
    """A prompt, with pictures or without. The prompt counts pictures from 1.

    `model`: one of the catalogue, or an LLM's id at OpenRouter, such as "openai/gpt-4.1". `llm` is that id beside
    model="openrouter" or "openrouter-vision". `json_schema`: the answer is JSON, and valid against it.
    `temperature` and `reasoning` are for OpenRouter. `stream`: the text so far is in the status.
    """

    model: Name = "claude-sonnet-5-5"
    prompt: Prompt
    system: System | None = None
    images: Images = Field([], max_length=MAX_IMAGES)
    json_schema: dict[str, JsonValue] | None = None
    max_tokens: int = Field(4096, ge=256, le=32_000)  # written; a model's thoughts count
    llm: Annotated[str, StringConstraints(max_length=200, pattern=_LLM)] | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    reasoning: bool | None = None
    stream: bool = False

    follows: ClassVar[Mapping[str, str]] = {"images": "images", "prompt": "text"}

    @field_validator("model")
    @classmethod
    def _is_a_language_model(cls, model: str) -> str:
        if "/" not in model or model.startswith(_ENDPOINTS):
            return model
        if model.startswith(("fal-ai/", "workflows/")) or not _LLM_ID.fullmatch(model):
            raise ValueError("is no LLM: its id at OpenRouter has the form owner/name")
        if ":" in model:
            raise ValueError(
                f'has a variant: give model="openrouter" (with images "openrouter-vision") and llm="{model}"'
            )
        return model

    @model_validator(mode="after")
    def _names_one_llm(self) -> "Complete":
        if self.llm and "/" in self.model and not self.model.startswith(_ENDPOINTS):
            raise ValueError("llm: model names an LLM already")
        return self

    @field_validator("json_schema")
    @classmethod
    def _can_be_held_against_an_answer(cls, schema: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        if schema is not None:
            read_schema(schema)
        return schema

    @field_validator("extra")
    @classmethod
    def _has_none_of_ours(cls, extra: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if ours := sorted(_OURS & extra.keys()):
            raise ValueError(f"cannot hold {', '.join(ours)}: this task has parameters for them")
        return extra


class Completed(JobResult):
    """The result. With a schema, `data` is the checked value, and `text` the same as JSON.

    `reasoning`: the model's thoughts, if OpenRouter returns them. `llm`: the id at OpenRouter, if the model has one.
    """

    text: str
    data: dict[str, JsonValue] | None = None
    reasoning: str | None = None
    llm: str | None = None


class CompletionCheck:
    """Reads the answers of Claude and Gemini (`text`, `json`) and of fal's router (`output`). See `AnswerCheck`."""

    def check(
        self, request: Mapping[str, Any], output: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> dict[str, Any] | AnswerFaults:
        """The text, or the value that is valid against the caller's schema; or its faults."""
        schema, text = request.get("json_schema"), output.get("text", output.get("output"))
        text = text if isinstance(text, str) else ""
        if (error := output.get("error")) and isinstance(error, str):
            return AnswerFaults((f"the model reports: {error[:300]}",))
        if output.get("partial") is True:
            return AnswerFaults(("it is only a part of an answer",), text)
        if len(text) > MAX_ANSWER:
            return AnswerFaults((f"it has {len(text)} characters; allowed: {MAX_ANSWER}",))
        reasoning = output.get("reasoning")
        values = {"reasoning": reasoning if isinstance(reasoning, str) else None, "llm": _llm_of(request)}
        if schema is None:
            return {VALUES: {"text": text.strip(), "data": None, **values}} if text.strip() else _EMPTY
        try:
            data = output["json"] if "json" in output else read_json(_without_fence(text))
        except ValueError:
            return AnswerFaults(("it is not JSON",), text)
        if lines := faults_of(data, read_schema(schema)):
            return AnswerFaults(lines, data)
        return {VALUES: {"text": json.dumps(data, ensure_ascii=False), "data": data, **values}}

    def repair(self, arguments: Mapping[str, Any], faults: AnswerFaults) -> dict[str, Any]:
        """The same question, followed by the bad answer and what is wrong with it."""
        return repaired(arguments, faults)


_EMPTY = AnswerFaults(("it is empty",))


@job_task("language.complete", queue="language", asks=Complete, gives=Completed, check=CompletionCheck())
def complete(request: Complete, model: Model) -> Step:
    """Ask a language model."""
    name, arguments = model.name, dict[str, Any](prompt=request.prompt, max_tokens=request.max_tokens)
    if model.passthrough:
        name = ROUTER_WITH_PICTURES if request.images else ROUTER
        arguments["llm"] = model.name
    for field in ("llm", "system", "temperature", "reasoning"):
        if (value := getattr(request, field)) is not None:
            arguments[field] = value
    if request.images:
        arguments["images"] = list(request.images)
    if request.json_schema is not None:
        schema = for_vendors(read_schema(request.json_schema))
        if model.takes("schema") and not model.passthrough:
            arguments["schema"] = schema
        else:
            arguments["prompt"] = f"{request.prompt}\n\n{_JSON_ONLY}\n{json.dumps(schema, ensure_ascii=False)}"
    if request.stream:
        is_at_fal = "llm" in arguments
        name, arguments = (f"stream:{name}", arguments) if is_at_fal else (name, {**arguments, "stream": True})
    return Step(name, arguments, (), request.extra)


def _llm_of(request: Mapping[str, Any]) -> str | None:
    """The id at OpenRouter, if it is asked."""
    named = request.get("llm") or request.get("model", "")
    return str(named) if "/" in named and not named.startswith(_ENDPOINTS) else None


def _without_fence(text: str) -> str:
    """The text inside a Markdown fence, which many models put around JSON."""
    first, _, rest = text.strip().partition("\n")
    is_fenced = first.strip().lower() in _FENCES and rest.endswith("```")
    return rest.removesuffix("```") if is_fenced else text
