"""A Redis URL, understood once for the broker, the result backend and the ledger.

`read_redis_url` says what a URL means, or why it cannot be used. Celery, kombu and redis-py each read URLs in their own
way: the same `rediss://host` was verified by one, not verified by the next, and refused by the third. So all of them
get what was read here (`worker.net.redis_client`, `worker.edge.redis_options`), and never the text of the user.

No error contains a part of the URL, because any part may be a piece of a password.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode

T = TypeVar("T")
Verify = Literal["required", "optional", "none"]

FORMS = (
    "allowed: redis://host:port/db, rediss://host:port/db, unix:///path?db=0 "
    "or sentinel://host:port;host:port/db?master_name=NAME"
)
QUOTE_IT = "a user or password with @ / ? or # is written with %40 %2F %3F %23; so is one of these in an option"
SCHEMES = {
    "redis": "redis",
    "rediss": "rediss",
    "valkey": "redis",
    "valkeys": "rediss",
    "unix": "unix",
    "redis+socket": "unix",  # kombu's name
    "socket": "unix",  # the name of Celery's result backend
    "sentinel": "sentinel",
}
PORTS = {"redis": 6379, "rediss": 6379, "sentinel": 26379}
TLS_OPTIONS = ("ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
LOGIN_OPTIONS = ("username", "password")
DB_OPTIONS = ("db", "virtual_host")
SENTINEL_OPTIONS = ("master_name", "service_name", "sentinel_username", "sentinel_password", "ssl")
OPTIONS = {
    "redis": (*DB_OPTIONS, *LOGIN_OPTIONS),
    "rediss": (*DB_OPTIONS, *LOGIN_OPTIONS, *TLS_OPTIONS),
    "unix": (*DB_OPTIONS, *LOGIN_OPTIONS),
    "sentinel": (*DB_OPTIONS, *LOGIN_OPTIONS, *TLS_OPTIONS, *SENTINEL_OPTIONS),
}
YES_OR_NO = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


class RedisUrlError(ValueError):
    """The URL cannot be used; the message says what works."""


@dataclass(frozen=True)
class Login:
    """A user, if it is not the default one, and a password."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def text(self) -> str:
        """As in a URL, with its @."""
        if self.username is None and self.password is None:
            return ""
        password = "" if self.password is None else f":{_quoted(self.password)}"
        return f"{_quoted(self.username or '')}{password}@"


@dataclass(frozen=True)
class Tls:
    """How a server's certificate is checked. Without files, by the certificates that the machine trusts."""

    verify: Verify = "required"
    check_hostname: bool = True
    ca_certs: str | None = None
    certfile: str | None = None
    keyfile: str | None = None


@dataclass(frozen=True)
class RedisUrl:
    """One server (`nodes` has its address, or `socket` its path), or the Sentinels that know the primary of a name."""

    nodes: tuple[tuple[str, int], ...] = ()
    socket: str | None = None
    db: int = 0
    login: Login = Login()
    tls: Tls | None = None
    master_name: str | None = None
    sentinel_login: Login = Login()

    @property
    def is_sentinel(self) -> bool:
        """Whether `nodes` are Sentinels."""
        return self.master_name is not None

    @property
    def place(self) -> str:
        """The addresses or the path, without any part of a login: for messages."""
        nodes = ";".join(f"{node_host(host)}:{port}" for host, port in self.nodes)
        return self.socket or (f"{self.master_name} of {nodes}" if self.is_sentinel else nodes)

    @property
    def text(self) -> str:
        """The URL in the one form that every part of kilnhand gets. Reading it gives the same again."""
        options = self._options()
        if self.socket is not None:
            place = f"unix://{self.login.text}{quote(self.socket)}"
            return f"{place}?{urlencode({'db': self.db, **options}, safe='/')}"
        scheme = "sentinel" if self.is_sentinel else "rediss" if self.tls else "redis"
        nodes = ";".join(f"{node_host(host)}:{port}" for host, port in self.nodes)
        query = f"?{urlencode(options, safe='/')}" if options else ""
        return f"{scheme}://{self.login.text}{nodes}/{self.db}{query}"

    def _options(self) -> dict[str, str]:
        options: dict[str, str | None] = {}
        if self.is_sentinel:
            options |= {"master_name": self.master_name, "ssl": "true" if self.tls else None}
            options |= {f"sentinel_{name}": getattr(self.sentinel_login, name) for name in LOGIN_OPTIONS}
        if self.tls:
            options["ssl_cert_reqs"] = None if self.tls.verify == "required" else self.tls.verify
            options["ssl_check_hostname"] = None if self.tls.check_hostname else "false"
            options |= {f"ssl_{name}": getattr(self.tls, name) for name in ("ca_certs", "certfile", "keyfile")}
        return {name: value for name, value in options.items() if value is not None}


def node_host(host: str) -> str:
    """A host as in a URL: an IPv6 address is in brackets."""
    return f"[{host}]" if ":" in host else host


def read_redis_url(text: str) -> RedisUrl:
    """What a URL means. Raises `RedisUrlError`."""
    scheme, slashes, rest = text.strip().partition("://")
    kind = SCHEMES.get(scheme.lower())
    if not slashes or kind is None:
        raise RedisUrlError(FORMS)
    body, _, query = rest.partition("?")
    if "#" in rest or "@" in query:
        raise RedisUrlError(QUOTE_IT)
    options = _options(query, kind)
    if kind == "unix":
        return _read_socket(body, options)
    chunks = re.split(r"[;,]", body) if kind == "sentinel" else [body]
    parts = [_split(chunk, kind) for chunk in chunks]
    login = _login(_only({found for found, _, _ in parts if found != Login()}, "user and password"), options)
    path = _only({path for _, _, path in parts if path}, "database")
    return RedisUrl(
        nodes=tuple(place for _, place, _ in parts),
        db=_db(path, options),
        login=login or Login(),
        tls=_tls(options, kind),
        master_name=_master_name(options) if kind == "sentinel" else None,
        sentinel_login=Login(options.get("sentinel_username"), options.get("sentinel_password")),
    )


def _options(query: str, kind: str) -> dict[str, str]:
    """The options by name, checked for names, not for values."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if kind == "redis" and name in (*TLS_OPTIONS, "ssl"):
            raise RedisUrlError(f"{name} is for TLS: write rediss:// instead of redis://")
        if name not in OPTIONS[kind]:
            shown = name if re.fullmatch(r"[a-z][a-z_]{0,40}", name) else "the option"
            raise RedisUrlError(
                f"{shown} cannot be set here: kilnhand sets timeouts, retries and pools itself; "
                f"options that work: {', '.join(OPTIONS[kind])}"
            )
        if name in found or not value:
            raise RedisUrlError(f"{name} has {'two values' if name in found else 'no value'}")
        found[name] = value
    return found


def _read_socket(body: str, options: Mapping[str, str]) -> RedisUrl:
    login, _, path = body.rpartition("@")
    if "/" in login or not path.startswith("/") or len(path) < 2:
        raise RedisUrlError("a socket has an absolute path: unix:///path?db=0, or unix://user:password@/path?db=0")
    return RedisUrl(socket=unquote(path), db=_db("", options), login=_login(_read_login(login), options) or Login())


def _split(chunk: str, kind: str) -> tuple[Login, tuple[str, int], str]:
    """Login, address and path of `[login@]host[:port][/path]`. Sentinels may each repeat the scheme, as in kombu."""
    if kind == "sentinel" and chunk.strip().lower().startswith("sentinel://"):
        chunk = chunk.strip()[len("sentinel://") :]
    login, _, rest = chunk.rpartition("@")
    if set(login) & set("/@"):
        raise RedisUrlError(QUOTE_IT)
    place, _, path = rest.partition("/")
    match = re.fullmatch(r"(?P<host>\[[0-9a-fA-F:.%]+\]|[^:\[\]\s]*)(:(?P<port>\d{0,5}))?", place.strip())
    if match is None or not 0 < (port := int(match["port"] or PORTS[kind])) < 65536:
        hint = "; in a password, ; is written with %3B and , with %2C" if kind == "sentinel" else ""
        raise RedisUrlError(f"after the user and password come host:port, and an IPv6 host is in brackets{hint}")
    host = unquote(match["host"].strip("[]")) or "localhost"
    return _read_login(login), (host, port), unquote(path).strip("/")


def _read_login(text: str) -> Login:
    username, colon, password = text.partition(":")
    return Login(unquote(username) or None, unquote(password) if colon and password else None)


def _only(found: set[T], what: str) -> T | None:
    """The one value of all Sentinels."""
    if len(found) > 1:
        raise RedisUrlError(f"all Sentinels have the same {what}: write it once")
    return next(iter(found), None)


def _login(login: Login | None, options: Mapping[str, str]) -> Login | None:
    given = {name: options[name] for name in LOGIN_OPTIONS if name in options}
    if not given:
        return login
    if login not in (None, Login()):
        raise RedisUrlError("the user and password are given twice: before the host and as options")
    return Login(**given)


def _db(path: str | None, options: Mapping[str, str]) -> int:
    found = {text for text in (path, *(options.get(name) for name in DB_OPTIONS)) if text}
    if len(found) > 1 or not all(re.fullmatch(r"[0-9]{1,5}", text) for text in found):
        raise RedisUrlError("the database is one number: redis://host:port/0")
    return int(next(iter(found), 0))


def _master_name(options: Mapping[str, str]) -> str:
    names = {options[name] for name in ("master_name", "service_name") if name in options}
    if len(names) != 1:
        raise RedisUrlError("add ?master_name=NAME, with the NAME of `sentinel monitor NAME …` in sentinel.conf")
    return names.pop()


def _tls(options: Mapping[str, str], kind: str) -> Tls | None:
    given = [name for name in TLS_OPTIONS if name in options]
    wanted = kind == "rediss" or (_yes_or_no("ssl", options["ssl"]) if "ssl" in options else bool(given))
    if not wanted:
        if given:
            raise RedisUrlError(f"{given[0]} is for TLS, but ssl=false says that there is none")
        return None
    verify = options.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if verify not in ("required", "optional", "none"):
        raise RedisUrlError("ssl_cert_reqs is required, optional or none (or CERT_REQUIRED, CERT_OPTIONAL, CERT_NONE)")
    checks = _yes_or_no("ssl_check_hostname", options.get("ssl_check_hostname", "true"))
    return Tls(verify, checks, *(_file(name, options) for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")))  # type: ignore[arg-type]


def _yes_or_no(name: str, text: str) -> bool:
    if text.lower() not in YES_OR_NO:
        raise RedisUrlError(f"{name} is true or false")
    return YES_OR_NO[text.lower()]


def _file(name: str, options: Mapping[str, str]) -> str | None:
    """A missing file would look like a Redis that is away: it would be tried again for ever."""
    path = options.get(name)
    if path is not None and not (Path(path).is_file() and os.access(path, os.R_OK)):
        raise RedisUrlError(f"{name} names no file that this user can read")
    return path


def _quoted(text: str) -> str:
    return quote(text, safe="")
