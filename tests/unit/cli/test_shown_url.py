"""`kilnhand doctor` shows no part of a password, whatever signs it holds."""

import json

import pytest
from pydantic import ValidationError

from config.logging import mask_text
from config.settings import GatewaySettings, RedisSettings
from worker.cli.commands.doctor import doctor
from worker.cli.errors import CliError
from worker.cli.screen.shown_url import shown_url

PASSWORDS = ["hunt@er/two", "hunt/er@two", "hunt:er?two", "hunt#er@two@three", "8080/hunter", "hunter%40two", "hunter"]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("login", [":{}", "user:{}", "{}"])
def test_a_shown_url_has_no_part_of_its_password(password: str, login: str) -> None:
    shown = shown_url(f"rediss://{login.format(password)}@redis.example:6380/2")
    assert shown == "rediss://***@redis.example:6380/2"


def test_a_password_in_a_query_is_not_shown_either() -> None:
    assert shown_url("unix:///run/redis.sock?db=1&password=pw") == "unix:///run/redis.sock?***"
    assert (
        mask_text("unix:///run/redis.sock?password=pw&db=1 failed") == "unix:///run/redis.sock?password=***&db=1 failed"
    )


def test_what_is_no_url_is_shown_as_it_is() -> None:
    assert [shown_url(text) for text in ("8080", "me@example.com", "redis://h:1/0")] == [
        "8080",
        "me@example.com",
        "redis://h:1/0",
    ]


@pytest.mark.parametrize("password", ["hunt@er/two", "hunt/er@two", "hunt?er@two@three", "8081@hunter"])
def test_logs_have_no_part_of_it(password: str) -> None:
    masked = mask_text(f"cannot reach redis://user:{password}@redis.example:6379/0 now")
    assert masked == "cannot reach redis://user:***@redis.example:6379/0 now"


@pytest.mark.parametrize("password", ["hunt@er", "hunt/er", "hunt?er", "hunt#er"])
def test_a_password_that_would_be_read_as_a_host_is_refused_without_being_shown(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValidationError, match="is written with %40") as refused:
        RedisSettings(redis_url=f"redis://:{password}@h:1/0")
    assert "hunt" not in str(refused.value)
    monkeypatch.setenv("KILNHAND_REDIS_URL", f"redis://:{password}@h:1/0")
    with pytest.raises(CliError, match="KILNHAND_REDIS_URL") as shown:
        doctor(as_json=True, from_stack=())
    assert "hunt" not in shown.value.message


def test_doctor_shows_no_part_of_a_password_or_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    monkeypatch.setenv("KILNHAND_REDIS_URL", "redis://user:hunt%40er%2Ftwo@127.0.0.1:1/0")
    monkeypatch.setenv("KILNHAND_PUBLIC_URL", "http://me:hunter:x@127.0.0.1:1")
    monkeypatch.setenv("KILNHAND_SECRET", "7f3hunterc1d09be2")
    monkeypatch.setenv("KILNHAND_SECOND_SECRET", "be27f3hunterc1d09")
    monkeypatch.setenv("KILNHAND_STORE_URL", str(tmp_path))
    assert doctor(as_json=True, from_stack=()) == 1
    written = capsys.readouterr()
    assert "hunt" not in written.out + written.err
    assert {"KILNHAND_SECRET", "KILNHAND_SECOND_SECRET"} <= {
        row["variable"] for row in json.loads(written.out)["settings"]
    }


@pytest.mark.parametrize(
    "secret",
    ["aaaaaaaaaaaaaaaa", "abababababababab", "1234567890123456", "0123456789abcdef", "abcdefghijklmnop", "zyxwvutsrqponmlk",
     "passwordpassword1", "please-changeme-now", "secretsecretsecret", "aaaaaaaabbbbbbbb", "hunter22", "the same the same "],
)  # fmt: skip
def test_weak_secrets_are_refused_and_not_shown(secret: str) -> None:
    for field in ("secret", "second_secret"):
        with pytest.raises(ValidationError) as refused:
            GatewaySettings(**{field: secret})
        assert secret not in str(refused.value)


def test_strong_secrets_are_taken() -> None:
    for secret in ("9f8e1c40aa53b7d2", "correct horse battery staple", "q3Hk-2ZpX_81mVtA"):
        assert GatewaySettings(secret=secret, second_secret=secret)  # type: ignore[arg-type]
