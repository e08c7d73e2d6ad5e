"""Finds the Google service that a request is for, and the model and verb in its path.

Callers use Google's host names, or `/google` on the twin's own address. There the path shows the service: Vertex AI has
`projects/…` or `publishers/…`, the Gemini API has `models/…`.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from starlette.requests import Request

PREFIX = "google"
GEMINI_HOST = "generativelanguage.googleapis.com"
OAUTH_HOST = "oauth2.googleapis.com"
VERTEX_HOST = re.compile(r"(?:[a-z0-9-]+-)?aiplatform\.googleapis\.com|aiplatform\.(?:us|eu)\.rep\.googleapis\.com")
VERTEX_PATH = re.compile(
    r"(?P<version>v1|v1beta1)/"
    r"(?P<parent>(?:projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/)?publishers/google/models/"
    r"(?P<model>[^/:]+)):(?P<verb>\w+)"
)
GEMINI_PATH = re.compile(r"(?P<version>v1|v1beta|v1alpha)/(?P<parent>models/(?P<model>[^/:]+)):(?P<verb>\w+)")


class Service(StrEnum):
    """The three services of Google that the twin imitates."""

    VERTEX = "vertex"
    GEMINI = "gemini"
    OAUTH = "oauth"


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a path; `model` and `verb` are empty for a path that is not imitated."""

    service: Service
    path: str
    version: str = ""
    parent: str = ""
    model: str = ""
    verb: str = ""
    project: str | None = None
    location: str | None = None


def read_target(request: Request) -> Target | None:
    """Return the target of a request; None if the request is not for Google."""
    host = request.headers.get("host", "").partition(":")[0]
    path = request.scope["path"].lstrip("/")
    if VERTEX_HOST.fullmatch(host):
        return _read(Service.VERTEX, path)
    if host == GEMINI_HOST:
        return _read(Service.GEMINI, path)
    if host == OAUTH_HOST:
        return Target(Service.OAUTH, path)
    prefix, _, rest = path.partition("/")
    if prefix != PREFIX:
        return None
    if rest == "token":
        return Target(Service.OAUTH, rest)
    return _read(Service.GEMINI if GEMINI_PATH.fullmatch(rest) else Service.VERTEX, rest)


def _read(service: Service, path: str) -> Target:
    found = (GEMINI_PATH if service is Service.GEMINI else VERTEX_PATH).fullmatch(path)
    return Target(service, path, **found.groupdict()) if found else Target(service, path)
