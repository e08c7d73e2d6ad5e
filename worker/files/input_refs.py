"""What a file reference means: a file of ours, a foreign URL, or the file itself. Pure.

A file of ours is referenced by its key, or by the URL in a result. The URL's signature is checked here as the gateway
does it; then the file is read from the store, not over the network.
"""

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx

from config.settings import GatewaySettings
from worker.errors import RequestRefusedError
from worker.files.signing import ExpiredSignatureError, WrongSignatureError, verify_any
from worker.jobs.file_keys import BadKeyError, checked
from worker.jobs.file_owners import FileOwners
from worker.net.public import AddressPolicy, ForeignAddressError

_KEY = re.compile(r"jobs/[A-Za-z0-9_./-]+")
_ALLOWED = "allowed: an http:// or https:// URL, a data: URI, or a file of ours by its key or URL"


@dataclass(frozen=True)
class StoredFile:
    """A file of our own store."""

    key: str


@dataclass(frozen=True)
class ForeignUrl:
    """A file elsewhere, or inside a data URI: `download` brings both."""

    url: str


class OwnUrls:
    """Recognises the URLs of our own files."""

    def __init__(self, gateway: GatewaySettings, clock: Callable[[], float] = time.time) -> None:
        """URLs under the public URL, signed with the secret. Without a secret there are none."""
        self.owners = FileOwners(gateway.public_url)
        self._secrets, self._clock = gateway.secrets, clock

    def key_of(self, url: str) -> str | None:
        """The key of a file that the URL opens now; None when the URL is not one of ours.

        Raises `BadKeyError`, `WrongSignatureError` or `ExpiredSignatureError`.
        """
        key = self.owners.key_in(url)
        if not self._secrets or key is None:
            return None
        query = parse_qs(urlsplit(url).query)
        expires, signature = (query.get(name, [""])[-1] for name in ("expires", "signature"))
        verify_any(self._secrets, key, expires, signature, self._clock())
        return key


def read_ref(ref: str, own: OwnUrls, label: str, tenant: str | None = None) -> StoredFile | ForeignUrl:
    """What a reference names in a job of this tenant. `label` is its field.

    Raises `RequestRefusedError` of kind `address`, `signature` or `tenant`.
    """
    found = _read(ref, own, label)
    if problem := own.owners.problem(ref, tenant):
        raise RequestRefusedError(f"{label}: {problem}", kind="tenant")
    return found


def _read(ref: str, own: OwnUrls, label: str) -> StoredFile | ForeignUrl:
    try:
        if _KEY.fullmatch(ref):
            return StoredFile(checked(ref))
        if is_inline(ref) and "," in ref:
            return ForeignUrl(f"data:{ref[5:]}")
        if ref[:8].lower().startswith(("http://", "https://")):
            key = own.key_of(ref)
            return ForeignUrl(ref) if key is None else StoredFile(key)
    except (WrongSignatureError, ExpiredSignatureError) as error:
        raise RequestRefusedError(f"{label}: {error.message}", kind="signature") from error
    except (BadKeyError, ValueError) as error:
        raise RequestRefusedError(f"{label}: names no file of ours; {_ALLOWED}", kind="address") from error
    raise RequestRefusedError(f"{label}: names no file; {_ALLOWED}", kind="address")


def may_be_handed_on(ref: str, policy: AddressPolicy) -> bool:
    """Whether a provider may fetch the reference itself: a plain URL of a public host.

    The name is not resolved. Any other file is brought here and uploaded to the provider.
    """
    try:
        policy.check(httpx.URL(ref))
    except (httpx.InvalidURL, ForeignAddressError, ValueError):
        return False
    return True


def row_name(ref: str) -> str:
    """The reference as a row keeps it: a data: URI by its hash, which is shorter."""
    return f"data:{hashlib.sha256(ref.encode()).hexdigest()}" if is_inline(ref) else ref


def is_inline(ref: str) -> bool:
    """Whether the reference is the file itself."""
    return ref[:5].lower() == "data:"
