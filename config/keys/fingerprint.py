"""A fingerprint of each provider's key: it shows that a key has changed, and nothing of the key.

It is an HMAC with KILNHAND_SECRET, so that nobody who reads Redis can test guesses.
"""

import hashlib
import hmac

from config.keys.fal import find_fal_key
from config.keys.google import GeminiAccess, VertexAccess, find_gemini, find_vertex
from config.keys.ini import KeyFileError
from config.settings import Settings


def key_fingerprints(settings: Settings) -> dict[str, str]:
    """By provider, for those with a key that we can read."""
    keys = {
        "fal": _fal(settings),
        "fal-direct": _fal(settings),
        "fal-stream": _fal(settings),
        "vertex": _vertex(settings),
        "gemini": _gemini(settings),
        "anthropic": _anthropic(settings),
    }
    secret = settings.gateway.secret.get_secret_value().encode() if settings.gateway.secret else b""
    return {name: hmac.new(secret, key, hashlib.sha256).hexdigest()[:16] for name, key in keys.items() if key}


def _fal(settings: Settings) -> bytes:
    """With the server's address: the twin takes any key, or none."""
    try:
        key = find_fal_key()
    except KeyFileError:
        return b""
    value = key.value.get_secret_value() if key and key.value else ""
    return f"{settings.fal.fal_base_url or ''} {value}".strip().encode()


def _vertex(settings: Settings) -> bytes:
    access = find_vertex(settings.google)
    if not isinstance(access, VertexAccess):
        return b""
    if access.file:
        try:
            return access.file.read_bytes()
        except OSError:
            return b""
    return (access.key.get_secret_value() if access.key else access.project or "").encode()


def _gemini(settings: Settings) -> bytes:
    access = find_gemini(settings.google)
    return access.key.get_secret_value().encode() if isinstance(access, GeminiAccess) else b""


def _anthropic(settings: Settings) -> bytes:
    key = settings.anthropic.anthropic_api_key
    return key.get_secret_value().encode() if key else b""
