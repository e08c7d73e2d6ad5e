"""The URL that a provider reports a run's end to, and whether it can reach us at all.

The gateway answers the webhook: `worker.gateway.webhooks`.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from urllib.parse import quote, urlsplit

from config.settings import Settings
from worker.errors import KilnhandError
from worker.net.public import is_public_host

_TOKEN = re.compile(r"([1-9][0-9]{0,8})-[A-Za-z0-9_-]{24}", re.ASCII)
_MAC_BYTES = 18  # 144 bits, 24 characters without padding


class WebhookSecretMissingError(KilnhandError):
    """KILNHAND_WEBHOOKS is on and KILNHAND_SECRET is not set. It signs the webhooks' URLs: set the same everywhere."""

    code = "secret_missing"


def webhook_url(public_url: str, secret: str, provider: str, job_id: str, attempt: int) -> str:
    """Where a provider tells the end of this attempt. Nobody can make up one of these without the secret."""
    return f"{public_url}/webhooks/{provider}/{quote(job_id, safe='')}/{_token(secret, provider, job_id, attempt)}"


def attempt_of(secret: str, provider: str, job_id: str, token: str) -> int | None:
    """The attempt that a token of ours belongs to; None for any other. Compared in constant time."""
    if not (parts := _TOKEN.fullmatch(token)):
        return None
    attempt = int(parts[1])
    return attempt if hmac.compare_digest(_token(secret, provider, job_id, attempt), token) else None


def webhooks_wanted(settings: Settings) -> bool:
    """Whether submissions carry a webhook's URL: as KILNHAND_WEBHOOKS says, by itself when the provider can reach us.

    Raises `WebhookSecretMissingError` when they must and there is no secret.
    """
    if not may_webhooks_come(settings):
        return False
    if settings.gateway.webhooks == "on" or settings.fal.fal_base_url is not None:
        return True
    return is_public_host(urlsplit(settings.gateway.public_url).hostname or "")


def may_webhooks_come(settings: Settings) -> bool:
    """Whether the gateway takes them, though its own PUBLIC_URL may not be the one they come by. Raises the same."""
    gateway = settings.gateway
    if gateway.webhooks == "on" and gateway.secret is None:
        raise WebhookSecretMissingError
    return gateway.webhooks != "off" and gateway.secret is not None


def _token(secret: str, provider: str, job_id: str, attempt: int) -> str:
    message = f"webhook\n{provider}\n{attempt}\n{job_id}"  # the first line tells it from a file's signature
    digest = hmac.digest(secret.encode(), message.encode(errors="surrogatepass"), "sha256")
    return f"{attempt}-{urlsafe_b64encode(digest[:_MAC_BYTES]).decode()}"
