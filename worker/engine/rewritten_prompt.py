"""The prompt that a provider made of ours before it ran it. Pure.

Several endpoints rewrite the prompt by default: fal's Veo (`auto_fix`), Hailuo (`prompt_optimizer`), Wan
(`enable_prompt_expansion`), Bria. Their answers have the new one under one of these names, in fal's client types and in
answers of OpenAI's models; FLUX returns the sent one as `prompt`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

REWRITTEN = "rewritten_prompt"  # its name in the answer that a row keeps, and in a result's provenance
NAMES = ("actual_prompt", "expanded_prompt", "revised_prompt", "refined_prompt", "enhanced_prompt", REWRITTEN, "prompt")
MOST_CHARS = 4000  # of it on a row


def rewritten_prompt(answer: Mapping[str, Any], sent: Mapping[str, Any]) -> str | None:
    """The prompt in the answer if it is another one than was sent; cut to 4,000 characters."""
    ours = _words(sent.get("prompt"))
    return next((text[:MOST_CHARS] for text in _prompts(answer) if _words(text) not in ("", ours)), None)


def _prompts(answer: Mapping[str, Any]) -> Iterator[str]:
    """The prompts that an answer names: its own, then those of its pictures."""
    items = [item for value in answer.values() if isinstance(value, list) for item in value[:1]]
    for node in (answer, *(item for item in items if isinstance(item, Mapping))):
        yield from (node[name] for name in NAMES if isinstance(node.get(name), str))


def _words(text: Any) -> str:
    return " ".join(text.split()) if isinstance(text, str) else ""
