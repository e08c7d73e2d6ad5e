"""Anthropic's key is read under its vendor's name, is never shown, and says what to set when it is missing."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from config.keys.anthropic import anthropic_disabled_why
from config.settings import AnthropicSettings, Settings


def test_the_key_is_read_under_its_vendors_name_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", " sk-ant-1\n")
    settings = Settings()

    assert settings.anthropic.anthropic_api_key is not None
    assert settings.anthropic.anthropic_api_key.get_secret_value() == "sk-ant-1"
    assert "sk-ant" not in repr(settings)


@pytest.mark.parametrize("key", ["sk ant", "sk\nant", "clé"])
def test_a_key_that_cannot_be_a_header_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", key)
    with pytest.raises(ValidationError, match="one word of ASCII") as refused:
        AnthropicSettings()

    assert key not in str(refused.value)


def test_without_a_key_the_message_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "KILNHAND_ANTHROPIC_BASE_URL"):
        monkeypatch.setenv(name, "")

    assert "set ANTHROPIC_API_KEY" in (anthropic_disabled_why(AnthropicSettings()) or "")
    assert anthropic_disabled_why(AnthropicSettings(anthropic_api_key="sk")) is None
    assert anthropic_disabled_why(AnthropicSettings(anthropic_base_url="http://127.0.0.1:9100/anthropic")) is None


def test_the_sdk_is_not_imported_to_tell() -> None:
    code = "import sys, config.keys.anthropic; sys.exit('anthropic' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
