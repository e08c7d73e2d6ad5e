"""The webhook URL of an attempt, the token in it, and whether webhooks are requested at all.

The gateway receives the webhooks: `worker.gateway.webhooks`.
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
    """KILNHAND_WEBHOOKS is on, but KILNHAND_SECRET is not set. Set the same secret for workers and gateways."""

    code = "secret_missing"


def webhook_url(public_url: str, secret: str, provider: str, job_id: str, attempt: int) -> str:
    """The URL at which a provider reports the end of this attempt. It cannot be forged without the secret."""
    return f"{public_url}/webhooks/{provider}/{quote(job_id, safe='')}/{_token(secret, provider, job_id, attempt)}"


def attempt_of(secret: str, provider: str, job_id: str, token: str) -> int | None:
    """The attempt that a token was made for; None for a token that is not ours. Compared in constant time."""
    if not (parts := _TOKEN.fullmatch(token)):
        return None
    attempt = int(parts[1])
    return attempt if hmac.compare_digest(_token(secret, provider, job_id, attempt), token) else None


def are_webhooks_requested(settings: Settings) -> bool:
    """Whether submissions carry a webhook URL. With KILNHAND_WEBHOOKS=auto: when the provider can reach the gateway.

    fal refuses webhook URLs at private and loopback addresses. Raises `WebhookSecretMissingError` for "on" without a
    secret.
    """
    if not are_webhooks_accepted(settings):
        return False
    if settings.gateway.webhooks == "on" or settings.fal.fal_base_url is not None:
        return True
    return is_public_host(urlsplit(settings.gateway.public_url).hostname or "")


def are_webhooks_accepted(settings: Settings) -> bool:
    """Whether the gateway accepts webhooks, at whatever address they arrive. Raises the same error."""
    gateway = settings.gateway
    if gateway.webhooks == "on" and gateway.secret is None:
        raise WebhookSecretMissingError
    return gateway.webhooks != "off" and gateway.secret is not None


def _token(secret: str, provider: str, job_id: str, attempt: int) -> str:
    message = f"webhook\n{provider}\n{attempt}\n{job_id}"  # the first line keeps it apart from a file's signature
    digest = hmac.digest(secret.encode(), message.encode(errors="surrogatepass"), "sha256")
    return f"{attempt}-{urlsafe_b64encode(digest[:_MAC_BYTES]).decode()}"
