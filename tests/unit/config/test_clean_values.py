"""Values as people have them: blanks and line ends around them, schemes in capitals."""

import os

import pytest

from config.clean_values import clean_variables
from config.settings import GROUPS, AnthropicSettings, FalSettings, GatewaySettings, RedisSettings, StoreSettings
from worker.files.store import open_urls


def test_blanks_and_line_ends_around_any_value_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "KILNHAND_REDIS_URL": "rediss://host:6380/1",
        "KILNHAND_SECRET": "9f8e1c40aa53b7d2",
        "KILNHAND_PUBLIC_URL": "https://files.example",
        "KILNHAND_STORE_URL": "s3://bucket/prefix",
        "KILNHAND_FAL_BASE_URL": "http://127.0.0.1:9100",
        "KILNHAND_LOG_FORMAT": "json",
        "ANTHROPIC_API_KEY": "sk-ant-1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, f" \t{value}\r\n")
    gateway = GatewaySettings()
    assert RedisSettings().redis_url == values["KILNHAND_REDIS_URL"]
    assert gateway.secret is not None and gateway.secret.get_secret_value() == values["KILNHAND_SECRET"]
    assert gateway.public_url == values["KILNHAND_PUBLIC_URL"]
    assert StoreSettings().store_url == values["KILNHAND_STORE_URL"]
    assert FalSettings().fal_base_url == values["KILNHAND_FAL_BASE_URL"]
    key = AnthropicSettings().anthropic_api_key
    assert key is not None and key.get_secret_value() == values["ANTHROPIC_API_KEY"]


def test_a_value_of_blanks_alone_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILNHAND_LEDGER_URL", " \n")
    monkeypatch.setenv("KILNHAND_SECRET", "\n")
    assert RedisSettings().ledger_url is None
    assert GatewaySettings().secret is None


def test_every_group_of_settings_cleans_its_values() -> None:
    assert [group.__name__ for group in GROUPS if group.__mro__[1].__name__ != "_Group"] == []


def test_the_scheme_of_any_url_may_be_in_capitals() -> None:
    assert RedisSettings(redis_url="REDISS://Host/0").redis_url == "rediss://Host:6379/0"
    assert StoreSettings(store_url="S3://Bucket/x").store_url == "s3://Bucket/x"
    assert GatewaySettings(public_url="HTTPS://files.example").public_url == "https://files.example"


def test_variables_that_libraries_read_by_themselves_are_stripped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key\n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", " secret ")
    monkeypatch.setenv("AWS_REGION", "eu-west-1\r\n")
    open_urls(StoreSettings(store_url="s3://bucket/x"), GatewaySettings())
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")
    assert [os.environ[name] for name in names] == ["key", "secret", "eu-west-1"]
    given = {"FLOWER_BASIC_AUTH": "a:b\n", "OTHER": " x "}
    clean_variables(("FLOWER_",), given)
    assert given == {"FLOWER_BASIC_AUTH": "a:b", "OTHER": " x "}
