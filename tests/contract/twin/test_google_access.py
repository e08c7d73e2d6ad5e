"""Access to Google through google-genai: a service account's key file, Google's host names, keys and tokens."""

import json
from pathlib import Path
from typing import Any

import google.auth
import google.auth.exceptions
import httpx2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google import genai
from google.genai import types
from google.oauth2 import service_account

FLASH = "gemini-3.8-flash"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


def key_file(twin: Any, private_key: str, name: str = "worker") -> dict[str, str]:
    """The JSON that Google gives for a service account, its `token_uri` turned to the twin."""
    return {
        "type": "service_account",
        "project_id": "local",
        "private_key_id": "1",
        "private_key": private_key,
        "client_email": f"{name}@local.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"{twin.url}/google/token",
    }


def client(twin: Any, credentials: Any) -> genai.Client:
    options = types.HttpOptions(base_url=f"{twin.url}/google", timeout=20_000)
    return genai.Client(
        enterprise=True, project="local", location="global", credentials=credentials, http_options=options
    )


def credentials_of(info: dict[str, str]) -> Any:
    return service_account.Credentials.from_service_account_info(info, scopes=[SCOPE])  # type: ignore[no-untyped-call]


def ask(sdk: genai.Client) -> str:
    with sdk:
        return str(sdk.models.generate_content(model=FLASH, contents="hello").text)


def test_a_service_account_gets_a_token_and_calls_with_it(twin: Any, private_key: str) -> None:
    credentials = credentials_of(key_file(twin, private_key))

    assert "hello" in ask(client(twin, credentials))
    assert credentials.token.startswith("ya29.") and credentials.valid
    (record,) = twin.requests()
    ask(client(twin, credentials_of(key_file(twin, private_key, "other"))))
    assert twin.requests()[1]["account"] != record["account"]


def test_the_environments_own_credentials_work_too(
    twin: Any, private_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(key_file(twin, private_key)), encoding="utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))

    assert "hello" in ask(client(twin, None))


def test_an_unknown_account_gets_no_token(twin: Any, private_key: str) -> None:
    with pytest.raises(google.auth.exceptions.RefreshError, match="invalid_grant: Invalid grant: account not found"):
        ask(client(twin, credentials_of(key_file(twin, private_key, "bad"))))


def test_a_locked_account_gets_a_token_that_may_not_call(twin: Any, private_key: str) -> None:
    with pytest.raises(genai.errors.ClientError) as caught:
        ask(client(twin, credentials_of(key_file(twin, private_key, "locked"))))

    assert caught.value.code == 403


def test_the_token_service_may_fail(twin: Any, private_key: str) -> None:
    twin.script(call="auth", what="http", status=403)
    with pytest.raises(google.auth.exceptions.RefreshError, match="access_denied"):
        ask(client(twin, credentials_of(key_file(twin, private_key))))
    assert twin.count() == 0


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({}, "Bad Request"),
        ({"grant_type": GRANT}, "Failed to parse"),
        ({"grant_type": GRANT, "assertion": "a.b.c"}, "Failed to parse"),
        ({"grant_type": GRANT, "assertion": "eyJhIjoxfQ.eyJhIjoxfQ.x"}, "Failed to parse"),
    ],
)
def test_a_grant_that_is_none_is_refused(twin: Any, form: dict[str, str], message: str) -> None:
    answer = twin.http.post("/google/token", data=form)

    assert answer.status_code == 400 and answer.json()["error"] == "invalid_grant"
    assert message in answer.json()["error_description"]


@pytest.mark.parametrize(
    ("options", "host"),
    [
        ({"enterprise": True, "project": "p", "location": "global"}, "aiplatform.googleapis.com"),
        ({"enterprise": True, "project": "p", "location": "us-central1"}, "us-central1-aiplatform.googleapis.com"),
        ({"enterprise": True, "project": "p", "location": "eu"}, "aiplatform.eu.rep.googleapis.com"),
        ({"enterprise": True, "api_key": "k"}, "aiplatform.googleapis.com"),
        ({"api_key": "k"}, "generativelanguage.googleapis.com"),
    ],
)
def test_the_sdk_finds_the_twin_by_googles_names(twin: Any, options: dict[str, Any], host: str) -> None:
    hosts = []

    class ToTwin(httpx2.HTTPTransport):
        """Carries every request to the twin's port, whatever host it names; the Host header stays."""

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            hosts.append(request.headers["host"])
            to = httpx2.URL(twin.url)
            request.url = request.url.copy_with(scheme="http", host=to.host, port=to.port)
            return super().handle_request(request)

    if "project" in options:
        options |= {"credentials": google.oauth2.credentials.Credentials("local")}
    carried = types.HttpOptions(client_args={"transport": ToTwin()}, timeout=20_000)

    assert "hello" in ask(genai.Client(**options, http_options=carried))
    assert hosts == [host]


def test_the_token_host_is_known_by_its_name(twin: Any) -> None:
    answer = twin.http.post("/token", data={}, headers={"Host": "oauth2.googleapis.com"})

    assert answer.json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "host", ["aiplatform.googleapis.com", "generativelanguage.googleapis.com", "api.anthropic.com"]
)
def test_other_paths_of_a_real_host_are_not_fals(twin: Any, host: str) -> None:
    assert twin.http.post("/queue/acme/model", json={}, headers={"Host": host}).status_code == 404
    assert twin.count() == 0


def test_a_try_on_is_not_to_be_had_everywhere(twin: Any) -> None:
    path = "/google/v1/projects/p/locations/global/publishers/google/models/virtual-try-on-001:predict"

    assert twin.http.post(path, json={}, headers={"Authorization": "Bearer local"}).status_code == 404
