"""A webhook's URL, its token, and when submissions carry one; a report survives being stored."""

from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from config.settings import FalSettings, GatewaySettings, Settings
from tests.unit.net.test_public import NOT_PUBLIC, PUBLIC
from worker.cli.commands.doctor_checks import check_gateway
from worker.files.signing import sign
from worker.jobs.signals import WebhookReport
from worker.net.public import AddressPolicy, PrivateAddressError
from worker.net.webhook_url import WebhookSecretMissingError, are_webhooks_requested, attempt_of, webhook_url

SECRET = "a secret of the tests"
ODD_IDS = [
    "job-7",
    "a/b",
    "/a//b/",
    "two words",
    "späte Füchse 狐",
    "50%2F?x=1#y",
    "a\nb",
    "3-abc",
    "webhooks/fal/x",
    "a:b@c;d",
]


def parts_of(url: str) -> tuple[str, str]:
    """The job's id and the token, as a server reads them."""
    base = "https://gateway.example.com/webhooks/fal/"
    assert url.startswith(base)
    job, token = unquote(url.removeprefix(base)).rsplit("/", 1)
    return job, token


@pytest.mark.parametrize("job_id", ODD_IDS)
def test_a_url_leads_back_to_its_job_and_attempt(job_id: str) -> None:
    url = webhook_url("https://gateway.example.com", SECRET, "fal", job_id, 12)
    assert url.isascii() and url.count("/") == 6 and not set(url) & set("?# \n")
    job, token = parts_of(url)
    assert (job, attempt_of(SECRET, "fal", job, token)) == (job_id, 12)


def test_a_token_is_valid_for_its_own_attempt_only() -> None:
    job, token = parts_of(webhook_url("https://gateway.example.com", SECRET, "fal", "job-7", 1))
    mac = token.partition("-")[2]
    assert attempt_of(SECRET, "fal", job, token) == 1
    assert attempt_of(SECRET, "fal", "job-8", token) is None
    assert attempt_of(SECRET, "other", job, token) is None
    assert attempt_of("another secret of the tests", "fal", job, token) is None
    for wrong in (
        f"2-{mac}", f"01-{mac}", f"1-{mac[:-1]}", f"1-{mac}A", f"1-{mac[:-1]}!", f"1{mac}", mac, "", "1-", f"-{mac}",
        f" 1-{mac}", f"1-{mac}\n", f"١-{mac}", f"1-{mac[:-1]}ä", f"{'9' * 5000}-{mac}", "\udc80",
    ):  # fmt: skip
        assert attempt_of(SECRET, "fal", job, wrong) is None, wrong


def test_job_and_attempt_cannot_be_shifted_into_each_other() -> None:
    ids = {parts_of(webhook_url("https://gateway.example.com", SECRET, "fal", job, n))[1][-24:]
           for job, n in [("a", 1), ("a", 11), ("1\na", 1), ("a\n1", 1), ("1\n1", 1)]}  # fmt: skip
    assert len(ids) == 5


def test_a_file_signature_is_not_a_valid_token_although_the_secret_is_the_same() -> None:
    signature = sign(SECRET, "fal", 1).partition("signature=")[2]
    assert attempt_of(SECRET, "fal", "1", f"1-{signature[:24]}") is None


@pytest.mark.parametrize(
    "report",
    [
        WebhookReport("r-1", "OK", 1000.25, {"images": [{"url": "https://x/y.png"}], "seed": 7}),
        WebhookReport("r-1", "OK", 1.0, None, payload_error="Response payload is not JSON serializable."),
        WebhookReport(
            "r-1", "ERROR", 1.0, {"detail": [{"msg": "ä 狐", "n": 1.5, "none": None}]}, error="Invalid status code: 422"
        ),
    ],
)
def test_a_report_survives_being_stored(report: WebhookReport) -> None:
    assert WebhookReport.load(report.dump()) == report


def settings(
    webhooks: str = "auto",
    secret: str | None = SECRET,
    public_url: str = "https://gateway.example.com",
    twin: str | None = None,
) -> Settings:
    gateway: Any = {"webhooks": webhooks, "secret": secret, "public_url": public_url}
    return Settings(
        gateway=GatewaySettings(_env_file=None, **gateway), fal=FalSettings(_env_file=None, fal_base_url=twin)
    )


@pytest.mark.parametrize(
    "url",
    ["https://gateway.example.com", "http://example.com:8080/under", "https://8.8.8.8", "https://[2606:4700::1111]:443",
     "https://GATEWAY.Example.COM.", "https://localhost.example.com"],
)  # fmt: skip
def test_auto_asks_for_webhooks_at_a_public_host(url: str) -> None:
    assert are_webhooks_requested(settings(public_url=url))
    assert not are_webhooks_requested(settings(public_url=url, secret=None))


def test_auto_asks_for_no_webhook_at_a_host_that_fal_cannot_reach(subtests: pytest.Subtests) -> None:
    for url in [
        f"http://{host}"
        for host in (
            "127.0.0.1:8080",
            "localhost",
            "LOCALHOST:1",
            "localhost.",
            "gateway",
            "gateway:8080",
            "10.0.0.7",
            "172.16.3.4",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "[::1]",
            "[fe80::1]",
            "[fd00::1]",
            "[::ffff:10.0.0.1]",
            "printer.local",
            "gw.svc.cluster.local",
            "gw.internal",
            "gw.Internal.",
            "127.1",
            "2130706433",
            "0x7f.1",
            "10.0.0.0x7",
            "224.0.0.1",
            "a.localhost",
            "router.home.arpa",
        )
    ]:
        with subtests.test(url=url):
            assert not are_webhooks_requested(settings(public_url=url))
            assert are_webhooks_requested(settings(public_url=url, twin="http://127.0.0.1:9")), "the twin can"
            assert are_webhooks_requested(settings("on", public_url=url))


def test_what_is_public_for_webhooks_is_public_for_downloads(subtests: pytest.Subtests) -> None:
    for host in [
        "gw.svc",
        "gw.corp",
        "gw.intranet",
        "gw.private",
        "gw.localdomain",
        "gw.onion",
        "gw.internal",
        "gw.local",
        "gw.lan",
        "gw.home",
        "gw.test",
        "gw.invalid",
        "home.arpa",
        "localhost",
        "gateway",
        "127.1",
        "gw.0x7f",
        "-gw.example.com",
        "a_b.example.com",
        "example.com",
        "svc.example.com",
        "gw.example.com.",
        *NOT_PUBLIC,
        *PUBLIC,
    ]:
        with subtests.test(host=host):
            url = f"http://[{host}]" if ":" in host else f"http://{host}"
            try:
                AddressPolicy().check(httpx.URL(url))
                may_be_fetched = True
            except PrivateAddressError:
                may_be_fetched = False

            assert are_webhooks_requested(settings(public_url=url)) == may_be_fetched


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "[::1]", "gateway:8080", "10.0.0.7", "gw.svc"])
def test_the_doctor_warns_of_a_gateway_that_fal_cannot_reach(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", "name:secret")
    unreachable = settings(public_url=f"http://{host}")

    check = check_gateway(unreachable.gateway, unreachable.fal)

    assert (check.verdict, check.detail) == ("note", f"http://{host} is not a public address")


def test_webhooks_can_be_turned_off_and_need_a_secret_when_on() -> None:
    assert not are_webhooks_requested(settings("off"))
    assert are_webhooks_requested(settings("on"))
    assert not are_webhooks_requested(settings(secret=None, twin="http://127.0.0.1:9"))
    with pytest.raises(WebhookSecretMissingError, match="KILNHAND_SECRET"):
        are_webhooks_requested(settings("on", secret=None))
