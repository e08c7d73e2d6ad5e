"""A twin on a free loopback port that is reset before each test, a class that drives it, and the official SDKs."""

import asyncio
import io
import time
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

from twin.app import create_app
from twin.server import TwinServer, in_thread

if TYPE_CHECKING:  # an SDK takes a second to import: only those who use it do
    from google import genai
    from google.genai import types

KEY = {"Authorization": "Key test:secret"}
SCHNELL = "fal-ai/flux/schnell"


class Handle:
    """Drives a twin: its address, an HTTP client with a key, and the control calls."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, headers=KEY, timeout=60, verify=False, trust_env=False)

    def submit(self, endpoint: str = SCHNELL, body: Any = None, **options: Any) -> dict[str, Any]:
        """Submit and return the answer, which must be a 200."""
        values = {"prompt": "a fox"} if body is None else body
        response = self.http.post(f"/queue/{endpoint}", json=values, **options)
        assert response.status_code == 200, response.text
        return dict(response.json())

    def status(self, ticket: dict[str, Any], *, logs: bool = False) -> httpx.Response:
        return self.http.get(ticket["status_url"], params={"logs": "1" if logs else "0"})

    def wait(self, ticket: dict[str, Any], timeout_s: float = 120.0) -> httpx.Response:
        """Wait until a request has ended and return the answer of the result call."""
        until(lambda: self.status(ticket).json()["status"] == "COMPLETED", "the request ends", timeout_s)
        return self.http.get(ticket["response_url"])

    def make(self, endpoint: str = SCHNELL, body: Any = None, **options: Any) -> dict[str, Any]:
        """Submit, wait, and return the output of a successful run."""
        response = self.wait(self.submit(endpoint, body, **options))
        assert response.status_code == 200, response.text
        return dict(response.json())

    def refused(self, endpoint: str, body: Any) -> list[dict[str, Any]]:
        """Submit, wait, and return the `detail` list of the 422."""
        response = self.wait(self.submit(endpoint, body))
        assert response.status_code == 422, response.text
        return list(response.json()["detail"])

    def platform(self, **settings: Any) -> None:
        self.http.post("/_twin/platform", json=settings).raise_for_status()

    def script(self, **fault: Any) -> None:
        response = self.http.post("/_twin/script", json=fault)
        assert response.status_code == 200, response.text

    def pace(self, **pace: Any) -> None:
        response = self.http.post("/_twin/pace", json=pace)
        assert response.status_code == 200, response.text

    def requests(self) -> list[dict[str, Any]]:
        return list(self.http.get("/_twin/requests").json()["requests"])

    def count(self) -> int:
        return int(self.http.get("/_twin/requests", params={"count": 1}).json()["count"])

    def upload(self, data: bytes, content_type: str = "image/png", name: str = "input.png") -> str:
        """Upload a file and return its URL."""
        token = self.http.post("/rest/storage/auth/token", json={}).json()["token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": content_type, "X-Fal-File-Name": name}
        response = self.http.post("/cdn/files/upload", content=data, headers=headers)
        assert response.status_code == 200, response.text
        return str(response.json()["access_url"])


def until(met: Callable[[], Any], what: str, timeout_s: float = 120.0) -> Any:
    """Wait for a condition with a deadline and return its value."""
    deadline = time.monotonic() + timeout_s
    while not (found := met()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s without success: {what}"
        time.sleep(0.01)
    return found


@pytest.fixture(scope="session")
def twin_server() -> Iterator[TwinServer]:
    with in_thread(create_app()) as server:
        yield server


@pytest.fixture(scope="session")
def session_handle(twin_server: TwinServer) -> Iterator[Handle]:
    handle = Handle(twin_server.url)
    yield handle
    handle.http.close()


@pytest.fixture
def twin(session_handle: Handle) -> Handle:
    """The session's twin after a reset, with short times."""
    session_handle.http.post("/_twin/reset")
    session_handle.pace(seconds=0.02, queue_seconds=0.0, webhook_backoff_s=0.02)
    return session_handle


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Any]:
    """Return `until`, since test modules cannot import this one."""
    return until


class Sdk:
    """A client of an SDK, sync or async; calls a method by its dotted name and waits for the result."""

    def __init__(self, client: Any, runner: asyncio.Runner | None) -> None:
        self.client, self._runner = client, runner

    def __call__(self, name: str, *args: Any, **arguments: Any) -> Any:
        method = attrgetter(name)(self.client)
        return self._runner.run(self._await(method, args, arguments)) if self._runner else method(*args, **arguments)

    @staticmethod
    async def _await(method: Any, args: Any, arguments: Any) -> Any:
        return await method(*args, **arguments)


def google_options(url: str, **more: Any) -> "types.HttpOptions":
    from google.genai import types

    retry = types.HttpRetryOptions(attempts=1)
    return types.HttpOptions(base_url=f"{url}/google", timeout=60_000, retry_options=retry, **more)


def google_sdk(client: "genai.Client", kind: str) -> Iterator[Sdk]:
    with asyncio.Runner() as runner:
        try:
            yield Sdk(client.aio, runner) if kind == "async" else Sdk(client, None)
        finally:
            runner.run(client.aio.aclose())
            client.close()


@pytest.fixture(scope="session", params=["sync", "async"])
def vertex_client(twin_server: TwinServer, request: pytest.FixtureRequest) -> Iterator[Sdk]:
    from google import genai
    from google.oauth2.credentials import Credentials

    credentials = Credentials("local")  # type: ignore[no-untyped-call]
    options = google_options(twin_server.url, api_version="v1")
    where = {"project": "local", "location": "us-central1", "credentials": credentials}
    yield from google_sdk(genai.Client(enterprise=True, http_options=options, **where), request.param)


@pytest.fixture
def vertex(twin: Handle, vertex_client: Sdk) -> Sdk:
    """google-genai against Vertex AI in one region, with a token that needs no refresh."""
    return vertex_client


@pytest.fixture(scope="session", params=["sync", "async"])
def gemini_client(twin_server: TwinServer, request: pytest.FixtureRequest) -> Iterator[Sdk]:
    from google import genai

    yield from google_sdk(genai.Client(api_key="local", http_options=google_options(twin_server.url)), request.param)


@pytest.fixture
def gemini(twin: Handle, gemini_client: Sdk) -> Sdk:
    """google-genai against the Gemini API, with a key."""
    return gemini_client


@pytest.fixture(scope="session", params=["sync", "async"])
def claude_client(twin_server: TwinServer, request: pytest.FixtureRequest) -> Iterator[Sdk]:
    import anthropic

    options: dict[str, Any] = {"api_key": "local", "max_retries": 0, "timeout": 60}
    options["base_url"] = f"{twin_server.url}/anthropic"
    if request.param == "sync":
        with anthropic.Anthropic(**options) as client:
            yield Sdk(client, None)
        return
    with asyncio.Runner() as runner:
        later = anthropic.AsyncAnthropic(**options)
        yield Sdk(later, runner)
        runner.run(later.close())


@pytest.fixture
def claude(twin: Handle, claude_client: Sdk) -> Sdk:
    """The anthropic SDK, without retries of its own."""
    return claude_client


@pytest.fixture(name="png", scope="session")
def png_fixture() -> Callable[..., bytes]:
    """Return a function that makes a picture of one colour."""

    def png(colour: Any, size: tuple[int, int] = (64, 48), kind: str = "png") -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", size, colour).save(buffer, kind)
        return buffer.getvalue()

    return png
