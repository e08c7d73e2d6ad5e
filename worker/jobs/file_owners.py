"""Which tenant may use a file reference: a key, or a URL of our gateway. Pure.

A job may name the keys of its own tenant only; one without a tenant, the keys without one. A signed URL proves that its
holder may read the file, so a tenant may also use the URL of a file without a tenant, but never another tenant's.
Signatures are checked by `worker.files.input_refs`.
"""

from urllib.parse import unquote, urlsplit

from worker.jobs.file_keys import OURS, is_of_tenant, owner_of

Address = tuple[str, str, int]  # scheme, host, port


class FileOwners:
    """Judges references by their form; needs no secret and no store."""

    def __init__(self, public_url: str) -> None:
        self._root = _place(f"{public_url}/files/")

    def key_in(self, url: str) -> str | None:
        """The key in a URL of our gateway, whatever its signature is; None for any other URL."""
        place = _place(url)
        if place is None or self._root is None or place[0] != self._root[0]:
            return None
        return unquote(place[1].removeprefix(self._root[1])) if place[1].startswith(self._root[1]) else None

    def problem(self, ref: str, tenant: str | None) -> str | None:
        """Why a job of this tenant may not use the reference; None if it may."""
        if ref.startswith(OURS):
            return None if is_of_tenant(ref, tenant) else _OTHERS_KEY
        key = self.key_in(ref)
        may = key is None or owner_of(key) is None or is_of_tenant(key, tenant)
        return None if may else _OTHERS_URL


_OTHERS_KEY = "this key is not of the job's tenant; allowed: its own keys, or a signed URL of a file of no tenant"
_OTHERS_URL = "this URL is of a file of another tenant; allowed: files of the job's own tenant"


def _place(url: str) -> tuple[Address, str] | None:
    """Scheme, host and port in one spelling, and the path; None if it is no URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return None
    if parts.username or parts.password or not parts.hostname:
        return None
    return (parts.scheme, parts.hostname, port), parts.path
