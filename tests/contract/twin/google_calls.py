"""Calls to Google's imitation through Google's own SDK, and their errors."""

from collections.abc import Callable
from typing import Any

import pytest
from google.genai import errors

PRO = "gemini-3-pro-image"
FLASH = "gemini-3.8-flash"


def ask(sdk: Any, model: str = PRO, contents: Any = "a fox", **config: Any) -> Any:
    """One answer of a model."""
    return sdk("models.generate_content", model=model, contents=contents, config=config or None)


def refused(call: Callable[[], Any], kind: type[errors.APIError] = errors.ClientError) -> errors.APIError:
    """The error of a call that must fail, of exactly this class."""
    with pytest.raises(errors.APIError) as caught:
        call()
    assert type(caught.value) is kind
    return caught.value
