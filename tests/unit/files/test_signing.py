"""Which URLs open a file, and for how long."""

from urllib.parse import parse_qs

import pytest

from config.settings import GatewaySettings
from worker.files.input_refs import OwnUrls
from worker.files.signing import (
    ExpiredSignatureError,
    SecretMissingError,
    WrongSignatureError,
    require_secret,
    sign,
    verify,
    verify_any,
)
from worker.jobs.file_keys import BadKeyError, checked

SECRET = "a secret of the tests"
KEY = "jobs/4e2a/images-0.png"


def signed(key: str = KEY, expires_at: float = 1000) -> tuple[str, str]:
    query = parse_qs(sign(SECRET, key, expires_at))
    return query["expires"][0], query["signature"][0]


def test_a_signature_opens_its_key_until_it_expires() -> None:
    verify(SECRET, KEY, *signed(), now=999.9)
    with pytest.raises(ExpiredSignatureError):
        verify(SECRET, KEY, *signed(), now=1000)


def test_a_signature_opens_nothing_else() -> None:
    expires, signature = signed()
    for secret, key, until in (
        (SECRET, KEY + "x", expires),
        ("another secret value", KEY, expires),
        (SECRET, KEY, "2000"),
    ):
        with pytest.raises(WrongSignatureError):
            verify(secret, key, until, signature, now=0)


@pytest.mark.parametrize("signature", ["", "x", "é" * 43, "A" * 43, "A" * 10_000])
def test_a_made_up_signature_is_wrong(signature: str) -> None:
    with pytest.raises(WrongSignatureError):
        verify(SECRET, KEY, "1000", signature, now=0)


def test_a_forged_signature_of_the_past_is_wrong_rather_than_expired() -> None:
    with pytest.raises(WrongSignatureError):
        verify(SECRET, KEY, "1", "A" * 43, now=1000)


@pytest.mark.parametrize("expires", ["", "soon", "1000.5", "-1", "1e9", "٣"])
def test_a_signature_of_a_strange_time_is_wrong(expires: str) -> None:
    with pytest.raises(WrongSignatureError):
        verify(SECRET, KEY, expires, signed()[1], now=0)


def test_a_key_that_could_leave_its_folder_is_refused(subtests: pytest.Subtests) -> None:
    for key in [
        "",
        "/etc/passwd",
        "../x",
        "jobs/../../x",
        "jobs/./x",
        "jobs//x",
        "jobs/.hidden",
        "jobs/%2e%2e/x",
        "a\\b",
        "a\0",
        "a b",
        "C:/x",
        "jobs/x/",
        "jobs/x\n",
        "é",
        "x" * 600,
        "jobs/-x",
        "a?b",
        "a#1",
    ]:
        with subtests.test(key=key):
            with pytest.raises(BadKeyError):
                checked(key)
            with pytest.raises(BadKeyError):
                sign(SECRET, key, 1000)
            with pytest.raises(BadKeyError):
                verify(SECRET, key, *signed(), now=0)


def test_a_missing_secret_names_its_variable() -> None:
    with pytest.raises(SecretMissingError, match="KILNHAND_SECRET is not set"):
        require_secret(GatewaySettings(_env_file=None, secret=None))


def test_two_secrets_are_accepted_while_one_signs() -> None:
    """For a rotation: the gateway accepts the next secret before a worker signs with it, and the last one after."""
    expires, signature = signed()
    for accepted in ([SECRET], [SECRET, "the next of the tests"], ["the next of the tests", SECRET]):
        verify_any(accepted, KEY, expires, signature, now=0)
        with pytest.raises(ExpiredSignatureError):
            verify_any(accepted, KEY, expires, signature, now=1000)
    with pytest.raises(WrongSignatureError):
        verify_any(["the next of the tests", "a third of the tests"], KEY, expires, signature, now=0)
    settings = GatewaySettings(_env_file=None, secret="the next of the tests", second_secret=SECRET)
    assert settings.secrets == ("the next of the tests", SECRET)
    own = OwnUrls(settings, lambda: 0)
    assert own.key_of(f"{settings.public_url}/files/{KEY}?{sign(SECRET, KEY, 1000)}") == KEY
