import json
from collections.abc import Callable

import pytest

from worker.engine.defect_text import MOST_CHARS, defect_text
from worker.jobs.request import value_at


def caught(call: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as found:  # any error will do
        call()
    return found.value


def test_class_message_and_the_innermost_place_in_our_code() -> None:
    text = defect_text(caught(lambda: value_at({}, 5)))  # type: ignore[arg-type]
    assert text.startswith("AttributeError: 'int' object has no attribute 'split' (worker.jobs.request, line ")
    assert text.endswith(", in value_at)")


def test_without_a_frame_of_ours_it_is_the_library() -> None:
    text = defect_text(caught(lambda: json.loads("{")))
    assert " (json.decoder, line " in text and "/" not in text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError(), "ValueError"),
        (ValueError("api_key=abcdefgh"), "ValueError: api_key=***"),
        (ValueError("redis://u:hunter22@h/0"), "ValueError: redis://u:***@h/0"),
        (ValueError("a\nb\x1b[2J"), "ValueError: a\\u000ab\\u001b[2J"),
        (ValueError("x" * 1000), f"ValueError: {'x' * (MOST_CHARS - 1)}\u2026"),
    ],
)
def test_no_secret_no_control_sign_and_not_too_long(error: Exception, text: str) -> None:
    assert defect_text(error) == text
