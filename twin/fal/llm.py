"""The text of the LLMs behind `openrouter/router`: a caption of the pictures, or JSON if the prompt asks for it.

The endpoint takes no schema. As many LLMs do, the twin answers a prompt that holds a JSON Schema with JSON in a
Markdown fence. It knows the owners of LLMs and takes every name of theirs. What fal answers to an
unknown id was never seen, so the refusal has the words of OpenRouter.
"""

import asyncio
import json
from typing import Any

from twin.caption import PromptFacts, collect_facts, estimate_tokens, truncate_to_tokens
from twin.fal.errors import Refused
from twin.fal.job import Job
from twin.fal.validate import problem
from twin.input_picture import InputPicture, NotAPicture, inspect, unread_picture
from twin.schema_filler import BadSchema, fill_schema, make_invalid
from twin.script import FaultKind

ENDPOINTS = ("openrouter/router", "openrouter/router/vision")
OWNERS = (
    *("amazon", "anthropic", "cohere", "deepseek", "google", "meta-llama", "microsoft", "minimax", "mistralai"),
    *("moonshotai", "nousresearch", "nvidia", "openai", "openrouter", "qwen", "x-ai", "z-ai"),
)


def check_llm(values: Any) -> None:
    """Raise Refused for a model that is no id of an LLM."""
    owner, _, name = str(values.get("model")).partition("/")
    if owner not in OWNERS or not name:
        message = f"{values.get('model')} is not a valid model ID"
        raise Refused(problem(("body", "model"), "value_error", message, values.get("model")))


async def llm_output(job: Job, pictures: tuple[bytes, ...]) -> dict[str, Any]:
    """Return the output of a run."""
    values = job.submission.input
    urls = values.get("image_urls") or ()
    seen = [await asyncio.to_thread(_inspect, data) for data in pictures]
    seen += [unread_picture(str(url)) for url in urls[len(seen) :]]
    prompt = str(values.get("prompt", ""))
    facts = collect_facts(seen, (prompt,))
    text = _text(prompt, facts, is_bad=job.fault is not None and job.fault.what is FaultKind.BAD_SCHEMA)
    most = values.get("max_tokens")
    text = truncate_to_tokens(text, most) if isinstance(most, int) else text
    usage = {"input_tokens": estimate_tokens(prompt) + 258 * len(seen), "output_tokens": estimate_tokens(text)}
    times = {"decode_time_ms": 400.0, "prefill_time_ms": 100.0, "ttft_ms": 120.0}
    thoughts = {"reasoning": "The twin looked and did not think."} if values.get("reasoning") else {}
    return {"output": text, "usage": usage | times, **thoughts}


def _inspect(data: bytes) -> InputPicture:
    try:
        return inspect(data)
    except NotAPicture:
        return unread_picture("a file that is no picture")


def _text(prompt: str, facts: PromptFacts, *, is_bad: bool) -> str:
    schema = _schema_in(prompt)
    if schema is None:
        return facts.caption
    try:
        value = fill_schema(schema, facts)
    except BadSchema:
        return facts.caption
    return f"```json\n{json.dumps(make_invalid(value) if is_bad else value, ensure_ascii=False)}\n```"


def _schema_in(prompt: str) -> dict[str, Any] | None:
    """The last line of the prompt that is a JSON Schema of an object."""
    for line in reversed(prompt.splitlines()):
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict) and found.get("type") == "object" and "properties" in found:
                return found
    return None
