"""The twin under fal's own host names: the Host header selects the service."""

import io
from collections.abc import AsyncIterator
from typing import Any

import fal_client
import fal_client.client as wire
import httpx
import pytest
from PIL import Image

SCHNELL = "fal-ai/flux/schnell"


class ToTwin(httpx.AsyncBaseTransport):
    """Carries every request to the twin's port, whatever host it names; the Host header stays."""

    def __init__(self, url: str) -> None:
        self.target = httpx.URL(url)
        self.inner = httpx.AsyncHTTPTransport(verify=False)
        self.hosts: set[str] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.hosts.add(request.headers["host"])
        url = request.url.copy_with(scheme="http", host=self.target.host, port=self.target.port)
        request.headers["x-forwarded-proto"] = request.url.scheme
        return await self.inner.handle_async_request(
            httpx.Request(
                request.method, url, headers=request.headers, stream=request.stream, extensions=request.extensions
            )
        )

    async def aclose(self) -> None:
        await self.inner.aclose()


@pytest.fixture
async def carried(twin: Any) -> AsyncIterator[tuple[Any, ToTwin]]:
    client: Any = fal_client.AsyncClient(key="id:secret")
    transport = ToTwin(twin.url)
    (await client._client)._transport = wire.AsyncBackupDomainTransport(transport=transport)
    yield client, transport
    await (await client._client).aclose()


async def test_the_sdk_finds_every_service_by_its_real_name(carried: tuple[Any, ToTwin]) -> None:
    client, transport = carried
    handle = await client.submit(SCHNELL, {"prompt": "a fox"})
    assert handle.status_url == f"https://queue.fal.run/fal-ai/flux/requests/{handle.request_id}/status"
    result = await handle.get(interval=0.01)
    url = result["images"][0]["url"]
    assert url.startswith("https://v3b.fal.media/files/b/")
    picture = await (await client._client).get(url)
    with Image.open(io.BytesIO(picture.content)) as image:
        assert image.size == (1024, 768)
    assert (await client.run(SCHNELL, {"prompt": "a fox"}))["prompt"] == "a fox"
    uploaded = await client.upload(b"hello", "text/plain", repository="fal", fallback_repository=[])
    assert (await (await client._client).get(uploaded)).content == b"hello"
    assert transport.hosts == {"queue.fal.run", "fal.run", "rest.fal.ai", "v3.fal.media", "v3b.fal.media"}


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("queue.falrun.com", "/fal-ai/flux/requests/none/status", 404),
        ("rest.alpha.fal.ai", "/.well-known/jwks.json", 200),
        ("falrun.com", "/fal-ai/flux-realism", 404),
        ("v3.fal.media", "/files/b/none", 404),
        ("somewhere.else", "/fal-ai/flux/schnell", 404),
    ],
)
def test_other_names_are_known_too(twin: Any, host: str, path: str, status: int) -> None:
    assert twin.http.get(path, headers={"Host": host}).status_code == status


def test_a_port_in_the_host_name_stays_in_the_urls(twin: Any) -> None:
    headers = {"Host": "queue.fal.run:9443"}
    ticket = twin.http.post(f"/{SCHNELL}", json={"prompt": "a fox"}, headers=headers).json()
    assert ticket["status_url"].startswith("http://queue.fal.run:9443/fal-ai/flux/requests/")


def test_files_served_under_a_real_name_are_inputs_again(twin: Any) -> None:
    headers = {"Host": "queue.fal.run"}
    body = {"prompt": "a fox", "image_size": "square"}
    ticket = twin.http.post(f"/{SCHNELL}", json=body, headers=headers).json()
    ticket = {name: str(url).replace("http://queue.fal.run", f"{twin.url}/queue") for name, url in ticket.items()}
    url = twin.wait(ticket).json()["images"][0]["url"]
    assert url.startswith("http://v3b.fal.media/")
    edited = twin.make("fal-ai/flux/dev/image-to-image", {"image_url": url, "prompt": "bluer"})
    assert (edited["images"][0]["width"], edited["images"][0]["height"]) == (512, 512)
