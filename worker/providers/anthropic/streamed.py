"""Puts a message together from the events of a stream. Pure. https://platform.claude.com/docs/en/build-with-claude/streaming

The whole message is what the same call without `stream` would have answered.
"""

from collections.abc import Mapping
from typing import Any


class StreamedMessage:
    """A message, as far as its events have come. An event of an unknown kind changes nothing."""

    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._blocks = dict[int, dict[str, Any]]()
        self.is_whole = self.is_error = False

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(block.get("text", "") for block in self._blocks.values() if block.get("type") == "text")

    def take(self, event: Mapping[str, Any]) -> None:
        """Read the next event. Raises `KeyError`, `TypeError` or `ValueError` for one that is no event of Anthropic."""
        match event.get("type"):
            case "message_start":
                self._message = dict(event["message"])
            case "content_block_start":
                self._blocks[int(event["index"])] = dict(event["content_block"])
            case "content_block_delta" if event["delta"].get("type") == "text_delta":
                block = self._blocks[int(event["index"])]
                block["text"] = block.get("text", "") + str(event["delta"]["text"])
            case "message_delta":
                usage = {**(self._message.get("usage") or {}), **(event.get("usage") or {})}
                self._message |= {**event["delta"], "usage": usage}
            case "message_stop":
                self.is_whole = True
            case "error":
                self.is_error = True

    def message(self) -> dict[str, Any]:
        """The message, once it is whole."""
        return {**self._message, "content": list(self._blocks.values())}
