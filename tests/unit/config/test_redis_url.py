"""Every form of a Redis URL in docs/redis.md: read alike by broker, result backend and ledger, or refused."""

import re
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from celery import Celery
from pydantic import ValidationError

from config.redis_url import RedisUrl, RedisUrlError, read_redis_url
from config.settings import RedisSettings
from worker.cli.screen.shown_url import shown_url
from worker.edge.redis_options import broker_options, result_options
from worker.net.redis_client import open_async_redis, open_redis

PAGE = (Path(__file__).parents[3] / "docs" / "redis.md").read_text(encoding="utf-8")


def table(title: str) -> list[tuple[str, str]]:
    """The first two cells of each row; a URL in the second cell of a row is a row of its own."""
    lines = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0].splitlines()
    cells = [line.strip("| ").split(" | ", 1) for line in lines if line.startswith("| `")]
    more = [(url, "") for _, text in cells for url in re.findall(r"`(\w+://[^`]+)`", text) if len(url) > 11]
    return [(url.strip("`"), text) for url, text in cells] + more


WORKING = [url for url, _ in table("URLs that work")]
REFUSED = table("URLs that are refused")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in ("ca.pem", "client.pem", "client.key"):
        (tmp_path / name).write_text("")
    return tmp_path


def seen_by_redis_py(client: redis.Redis | redis.asyncio.Redis) -> dict[str, Any]:
    return dict(client.connection_pool.connection_kwargs)  # type: ignore[union-attr]


def celery_app(url: str) -> Celery:
    app = Celery("urls", set_as_current=False)
    app.conf.update({**broker_options(url), **result_options(url)})
    return app


def understood(options: dict[str, Any]) -> dict[str, Any]:
    """What all of them have to understand alike."""
    names = ("host", "port", "path", "db", "username", "password")
    found = {name: options.get(name) for name in names}
    found["verify"] = (
        {0: "none", 1: "optional", 2: "required"}.get(options["ssl_cert_reqs"], options["ssl_cert_reqs"])
        if "ssl_cert_reqs" in options
        else None
    )
    found["files"] = [options.get(f"ssl_{name}") for name in ("ca_certs", "certfile", "keyfile")]
    return found | {"check_hostname": options.get("ssl_check_hostname")}


@pytest.mark.parametrize("url", WORKING)
def test_broker_results_and_ledger_understand_a_url_alike(url: str, files: Path) -> None:
    url = url.replace("/etc/redis", str(files))
    at, text = read_redis_url(url), RedisSettings(redis_url=url).redis_url
    assert read_redis_url(text) == at, "the one form that is handed on means the same"
    app = celery_app(text)
    with app.connection_for_write() as connection:
        channel: Any = connection.transport.Channel
        broker = channel._connparams(_Unconnected(connection, channel))
    results = app.backend.connparams  # type: ignore[attr-defined]
    ledger, producer = seen_by_redis_py(open_async_redis(text)), seen_by_redis_py(open_redis(text))
    if at.is_sentinel:
        assert (sentinels(app)) == list(at.nodes)
        for options in (broker, results, ledger, producer):
            options.pop("host", None), options.pop("port", None)
    assert [understood(each) for each in (broker, results, ledger)] == [understood(producer)] * 3
    assert understood(producer)["password"] == at.login.password
    if at.tls is None:
        assert "SSL" not in str([broker["connection_class"].__mro__, results.get("connection_class")])
    else:
        assert all("SSL" in str(each["connection_class"].__mro__) for each in (broker, results))


class _Unconnected:
    """As much of kombu's channel as its reading of a URL uses: a real one connects."""

    def __init__(self, connection: Any, channel: Any) -> None:
        self._channel = channel
        self.connection = type("Transport", (), {"client": connection, "default_port": 6379})

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._channel, name)
        return found.__get__(self) if callable(found) and not isinstance(found, type) else found


def sentinels(app: Celery) -> list[tuple[str, int]]:
    """The Sentinels that Celery's broker and its result backend would ask."""
    backend: Any = app.backend
    asked = [(each["host"], each["port"]) for each in backend.connparams["hosts"]]
    with app.connection_for_write() as connection:
        from kombu.utils.url import url_to_parts

        broker = [(parts.hostname, parts.port) for parts in map(url_to_parts, connection.alt)]
    assert broker == asked or len(asked) == 1
    return asked


@pytest.mark.parametrize(("url", "why"), REFUSED)
def test_a_url_that_cannot_work_everywhere_is_refused_with_what_works(url: str, why: str) -> None:
    for name in ("redis_url", "broker_url", "result_backend", "ledger_url"):
        with pytest.raises(ValidationError, match=re.escape(why)):
            RedisSettings(**{name: url})


@pytest.mark.parametrize("url", [
    "redis://:hunter;two@a:1;b:2/0", "sentinel://:hunt,er@a;b/0?master_name=m", "redis://hunter:x:y:z/0", "redis://:hu\u2100nter@h/hunter",
    "redis://h/0?hunter=1", "redis://h/0?password=hunter&password=hunter", "rediss://h/0?ssl_ca_certs=/hunter", "sentinel://:hunter@a;:x@b/0?master_name=m",
    "redis://h:hunter/0", "hunter", "unix://hunter", "unix://:hunter/@/x", "redis://:hunter@h/0?x=hunter",
])  # fmt: skip
def test_no_error_shows_a_part_of_a_url(url: str) -> None:
    with pytest.raises(RedisUrlError) as refused:
        read_redis_url(url)
    assert "hunter" not in str(refused.value).replace("hunter cannot be set here", "")


def test_a_place_and_the_shown_url_hold_no_login() -> None:
    at = read_redis_url("sentinel://:hunter@a;b:2/0?master_name=m&sentinel_password=hunter")
    assert at.place == "m of a:26379;b:2"
    assert "hunter" not in repr(at) + at.place + shown_url(at.text)
    assert RedisUrl(socket="/x").place == "/x"
