"""fal's public keys: read leniently, kept for a day, fetched again after a rotation, never on a forger's beat."""

import asyncio
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from config.settings import FalSettings
from tests.unit.gateway.door import KEYS, SECRET, Door, jwk
from worker.gateway.jwks import KEEP_S, REFETCH_S, RETRY_S, jwks_url

FIRST, SECOND = KEYS["first"], KEYS["second"]
ODD: list[Any] = [
    None, 7, "text", [], {}, jwk(None), jwk(7), jwk(""), jwk("!!!"), jwk(FIRST[:-3]), jwk(FIRST + "AAAA"), jwk("ä" * 43),
    jwk(SECOND, kty="RSA"), jwk(SECOND, crv="X25519"), {"kty": "OKP", "crv": "Ed25519"}, {"x": SECOND},
]  # fmt: skip


async def heard(door: Door, name: str = "ok") -> str:
    answer = await door.post(name)
    said = answer.json()
    return str(said["heard"] if "heard" in said else said["error"]["code"])


@pytest.mark.parametrize(
    "x",
    [FIRST, FIRST + "=", FIRST.replace("-", "+").replace("_", "/"), FIRST.replace("-", "+").replace("_", "/") + "="],
)
async def test_a_key_is_read_with_and_without_padding_in_either_alphabet(door: Door, x: str) -> None:
    assert {"-", "_"} <= set(FIRST)
    await door.add()
    door.publisher.keys = [jwk(x, kid="1", use="sig")]
    assert await heard(door) == "accepted"


@pytest.mark.parametrize("odd", ODD, ids=str)
async def test_a_key_that_cannot_be_read_hides_no_other(door: Door, odd: Any) -> None:
    await door.add()
    door.publisher.keys = [odd, jwk(FIRST)]
    assert await heard(door) == "accepted"


async def test_every_published_key_is_tried(door: Door) -> None:
    await door.add()
    door.publisher.keys = [jwk(FIRST), jwk(SECOND)]
    assert await heard(door, "second_key") == "accepted"
    assert door.publisher.fetches == 1


async def test_a_rotated_key_is_fetched_once(door: Door) -> None:
    await door.add()
    assert await heard(door) == "accepted"
    await door.add("job-8")
    door.publisher.keys = [jwk(SECOND)]
    door.wind(REFETCH_S)
    assert (await door.post("second_key", url=door.url("job-8"))).json() == {"heard": "accepted"}
    assert door.publisher.fetches == 2
    assert await heard(door) == "forged", "the old key counts no more"


async def test_forged_webhooks_do_not_make_us_hammer_fal(door: Door) -> None:
    await door.add()
    for _ in range(50):
        assert await heard(door, "strange_key") == "forged"
        door.wind(1)
    assert door.publisher.fetches == 1
    for _ in range(100):
        assert await heard(door, "strange_key") == "forged"
        door.wind(1)
    assert door.publisher.fetches == 3
    assert await heard(door) == "accepted"


async def test_many_webhooks_at_once_fetch_once(door: Door) -> None:
    await door.add()
    said = await asyncio.gather(*(heard(door) for _ in range(20)), *(heard(door, "strange_key") for _ in range(20)))
    assert set(said) <= {"accepted", "duplicate", "forged"} and said.count("forged") == 20
    assert door.publisher.fetches == 1


async def test_keys_are_kept_for_a_day_and_not_longer(door: Door) -> None:
    await door.add()
    await heard(door)
    door.publisher.answer = httpx.ConnectError("away")
    assert KEEP_S == 86_400, "as long as fal allows"
    door.wind(KEEP_S - 1)
    assert await heard(door) == "duplicate"
    assert door.publisher.fetches == 1, "nothing to fetch as long as they do"
    door.wind(1)
    assert (await door.post()).status_code == 503
    door.publisher.answer = None
    assert await heard(door) == "failed", "not tried again at once"
    door.wind(RETRY_S)
    assert await heard(door) == "duplicate"


async def test_old_keys_stay_when_newer_ones_cannot_be_had(door: Door) -> None:
    await door.add()
    await door.add("job-8")
    await heard(door)
    door.publisher.answer = httpx.ConnectError("away")
    door.wind(REFETCH_S)
    assert await heard(door, "strange_key") == "forged"
    assert door.publisher.fetches == 2
    assert (await door.post(url=door.url("job-8"))).json() == {"heard": "accepted"}


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ConnectError("away"),
        httpx.ReadTimeout("slow"),
        httpx.Response(500),
        httpx.Response(404, json={"keys": [jwk(FIRST)]}),
        httpx.Response(302, headers={"location": "https://keys.example.com/jwks.json"}),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, content=b"\xff\xfe"),
        httpx.Response(200, content=b"[" * 60_000),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"keys": None}),
        httpx.Response(200, json={"keys": {"x": 1}}),
        httpx.Response(200, json={"keys": []}),
        httpx.Response(200, json={"keys": ODD}),
        httpx.Response(200, json={"keys": [jwk(FIRST)], "more": "x" * 70_000}),
    ],
    ids=str,
)
async def test_without_keys_fal_is_asked_to_try_again(door: Door, answer: Any) -> None:
    await door.add()
    before = await door.row()
    door.publisher.answer = answer
    with capture_logs() as logs:
        response = await door.post()
    assert (response.status_code, await door.counts()) == (503, {"failed": 1})
    assert [each["event"] for each in logs] == ["jwks_failed", "webhook_refused"]
    assert logs[1]["error"] == "JwksAwayError" and SECRET not in str(logs)
    assert await door.row() == before
    door.publisher.answer = None
    door.wind(RETRY_S)
    assert await heard(door) == "accepted"


@pytest.mark.parametrize(
    ("base", "url"),
    [
        (None, "https://rest.fal.ai/.well-known/jwks.json"),
        ("http://127.0.0.1:9000/", "http://127.0.0.1:9000/rest/.well-known/jwks.json"),
    ],
)
def test_the_keys_are_fals_or_those_of_its_stand_in(base: str | None, url: str) -> None:
    assert jwks_url(FalSettings(_env_file=None, fal_base_url=base)) == url
