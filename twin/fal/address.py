"""Finds the fal service that a request is for, and the base URLs of the answer.

Callers reach the twin by fal's host names (through a proxy, a hosts file or compose aliases), or by a path prefix on
the twin's own address (`/queue`, `/run`, `/rest`, `/cdn`, `/api`). URLs in an answer use the same way as the request.
"""

from dataclasses import dataclass
from enum import StrEnum

from starlette.requests import HTTPConnection


class Service(StrEnum):
    """The five services of fal that the twin imitates; the value is the path prefix."""

    QUEUE = "queue"
    RUN = "run"
    REST = "rest"
    CDN = "cdn"
    API = "api"


SERVICE_OF_HOST = {
    "queue.fal.run": Service.QUEUE,
    "queue.falrun.com": Service.QUEUE,
    "fal.run": Service.RUN,
    "falrun.com": Service.RUN,
    "rest.fal.ai": Service.REST,
    "rest.alpha.fal.ai": Service.REST,
    "v3.fal.media": Service.CDN,
    "v3b.fal.media": Service.CDN,
    "api.fal.ai": Service.API,
}
NAMESPACES = frozenset({"workflows", "comfy"})


@dataclass(frozen=True, slots=True)
class BaseUrls:
    """The URLs of the services as the caller sees them, without a slash at the end."""

    queue: str
    cdn: str
    upload: str
    """The upload URL that a token names; fal receives files at v3 and serves them from v3b."""


@dataclass(frozen=True, slots=True)
class Address:
    """The service of a request, the path inside that service, and the base URLs of the answer."""

    service: Service | None
    path: str
    base: BaseUrls


def read_address(connection: HTTPConnection, public_url: str | None) -> Address:
    """Read the service from the Host header, else from the path prefix; `service` is None if neither names one."""
    host, _, port = connection.headers.get("host", "127.0.0.1").partition(":")
    scheme = connection.scope["scheme"]
    scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    scheme = connection.headers.get("x-forwarded-proto", scheme)
    path = connection.scope["path"].lstrip("/")
    if host in SERVICE_OF_HOST:
        tail = f":{port}" if port else ""
        base = BaseUrls(*(f"{scheme}://{name}{tail}" for name in ("queue.fal.run", "v3b.fal.media", "v3.fal.media")))
        return Address(SERVICE_OF_HOST[host], path, base)
    root = (public_url or f"{scheme}://{connection.headers.get('host', '127.0.0.1')}").rstrip("/")
    prefix, _, rest = path.partition("/")
    service = Service(prefix) if prefix in set(Service) else None
    return Address(service, rest, BaseUrls(f"{root}/queue", f"{root}/cdn", f"{root}/cdn"))


def app_of(endpoint: str) -> str:
    """Return the part of an endpoint id that comes before `/requests/`: two segments, or three in a namespace."""
    parts = endpoint.split("/")
    return "/".join(parts[: 3 if parts[0] in NAMESPACES else 2])
