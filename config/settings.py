"""All settings. An entry point reads them once and passes each part to the code that needs it.

Our variables start with `KILNHAND_`; variables of vendors keep their names. A value in the environment wins over one
in the `.env` file of the working directory. `config.keys` finds the vendors' keys, and `config.logging` configures the
logs. One file, although it is long: a reader looks for a setting in one place.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.allowed_addresses import AllowedAddress, read_allowed
from config.clean_values import cleaned
from config.file_days import FileDays, read_file_days
from config.redis_url import read_redis_url
from config.weak_secrets import weakness

DUPLICATE_USD = 0.01
MIN_RESULT_DAYS = 1.0

_OURS = SettingsConfigDict(
    env_prefix="KILNHAND_",
    env_file=".env",
    env_file_encoding="utf-8",
    env_ignore_empty=True,  # docker compose passes an unset variable as an empty one
    frozen=True,
    extra="ignore",
    hide_input_in_errors=True,
)


class _Group(BaseSettings):
    """Settings of one concern. Their values are cleaned first: a secret that comes from a file has a line end."""

    model_config = _OURS

    @model_validator(mode="before")
    @classmethod
    def _clean(cls, given: Any) -> Any:
        """A value of blanks alone is as one that is not set."""
        return cleaned(given) if isinstance(given, Mapping) else given


class RedisSettings(_Group):
    """The broker, the result backend and the ledger: one Redis for all three by default. Names of keys and queues."""

    redis_url: str = Field(
        "redis://127.0.0.1:6379/0", description="Redis for the broker, the result backend and the ledger"
    )
    broker_url: str | None = Field(None, description="Celery's broker, if it is another Redis")
    result_backend: str | None = Field(None, description="Celery's result backend, if it is another Redis")
    ledger_url: str | None = Field(None, description="the ledger of jobs, if it is another Redis")
    prefix: str = Field(
        "",
        pattern=r"^([A-Za-z0-9_.-]+[:._-])?$",
        description="begins every key in Redis, for a second installation in one database: shop2:. The same for "
        "producers, workers and gateway",
    )
    take_celery: bool = Field(
        False, description="workers also take the queue `celery`, if no other Celery app uses it in this Redis"
    )
    callback_queue: str = Field(
        "celery",
        min_length=1,
        description="the queue for links, chains and chord bodies that are a backend's own tasks and name no queue",
    )

    @property
    def own_keys(self) -> str:
        """What our own keys begin with. Celery's keys begin with `prefix` alone."""
        return f"{self.prefix}kilnhand:"

    @property
    def broker(self) -> str:
        """The broker's URL."""
        return self.broker_url or self.redis_url

    @property
    def results(self) -> str:
        """The result backend's URL."""
        return self.result_backend or self.redis_url

    @property
    def ledger(self) -> str:
        """The ledger's URL."""
        return self.ledger_url or self.redis_url

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs of the broker, the result backend and the ledger, each once."""
        return tuple(dict.fromkeys((self.broker, self.results, self.ledger)))

    @property
    def given_urls(self) -> tuple[str, ...]:
        """Those of the URLs that were set: `kilnhand up` starts a server for the others."""
        names = ("redis_url", "broker_url", "result_backend", "ledger_url")
        return tuple(getattr(self, name) for name in names if name in self.model_fields_set and getattr(self, name))

    @field_validator("redis_url", "broker_url", "result_backend", "ledger_url")
    @classmethod
    def _is_redis(cls, url: str | None) -> str | None:
        """The URL in the one form that the broker, the result backend and the ledger get."""
        return None if url is None else read_redis_url(url).text


class StoreSettings(_Group):
    """The store of finished files, and limits for files."""

    store_url: str = Field(
        ".kilnhand/files", description="a folder, file:///path, s3://bucket/prefix or gs://bucket/prefix"
    )
    max_file_mb: int = Field(
        2048, gt=0, description="largest file from a provider, and largest weights or archive for a provider, in MB"
    )
    max_megapixels: int = Field(120, gt=0, description="largest picture that is decoded, in megapixels")
    files_days: str = Field(
        "",
        description="how long finished files are kept, in days, with other days for tenants and labels: "
        "30,tenant:acme=7,label:draft=1; for ever if it is empty. `kilnhand files prune` deletes them",
    )
    decode_memory_mb: int = Field(
        512, ge=256, description="memory of one process to decode large pictures, videos and sounds, in MB"
    )
    url_days: float = Field(7, gt=0, le=365, description="how long a file's URL works, in days")

    @property
    def file_days(self) -> FileDays:
        """How long files are kept."""
        return read_file_days(self.files_days)

    @field_validator("files_days")
    @classmethod
    def _is_readable(cls, text: str) -> str:
        read_file_days(text)
        return text

    @field_validator("store_url")
    @classmethod
    def _is_known(cls, url: str) -> str:
        if "://" in url and urlsplit(url).scheme not in {"file", "s3", "gs"}:
            raise ValueError("allowed: file:///path, s3://bucket/prefix, gs://bucket/prefix or a folder")
        return url if "://" in url else Path(url).resolve().as_uri()


class ForeignSettings(_Group):
    """Addresses from which files of foreign URLs may be fetched."""

    allow_inside: str = Field(
        "",
        description="private addresses that are allowed for files: host[:port] or network/bits, separated by commas",
    )

    @property
    def allowed(self) -> tuple[AllowedAddress, ...]:
        """The allowed private addresses."""
        return read_allowed(self.allow_inside)

    @field_validator("allow_inside")
    @classmethod
    def _is_readable(cls, text: str) -> str:
        read_allowed(text)
        return text


def _parts(listed: str) -> list[str]:
    return [part.strip() for part in listed.split(",") if part.strip()]


class RequestSettings(_Group):
    """What callers may ask for. Producers read it, too."""

    passthrough: str = Field(
        "on",
        description="whether endpoints of fal that are not in the catalogue may be named: on, off, or a list of "
        "allowed ones, separated by commas, with * for any text: fal-ai/*,ourselves/our-app",
    )

    task_aliases: str = Field(
        "",
        description="more names by which workers accept tasks, besides those of docs/aliases.md, separated by commas: "
        "GARMENT_FIXER=editing.fix_garment,TRY_ON=editing.try_on",
    )

    @field_validator("task_aliases")
    @classmethod
    def _aliases_have_both_names(cls, given: str) -> str:
        if bad := [part for part in _parts(given) if not all(name.strip() for name in part.partition("=")[::2])]:
            raise ValueError(f"is a list of ALIAS=task.name, separated by commas, not {bad[0]!r}")
        return given

    @property
    def aliases(self) -> dict[str, str]:
        """The names of `task_aliases`: alias -> task."""
        pairs = (part.split("=", 1) for part in _parts(self.task_aliases))
        return {alias.strip(): task.strip() for alias, task in pairs}

    def may_pass(self, endpoint: str) -> bool:
        """Whether an endpoint that is not in the catalogue may be used."""
        if self.passthrough in {"on", "off"}:
            return self.passthrough == "on"
        patterns = (part.strip().casefold() for part in self.passthrough.split(","))
        return any(fnmatchcase(endpoint.casefold(), pattern) for pattern in patterns if pattern)


class NetworkSettings(_Group):
    """How all clients of our processes reach other servers."""

    trust_proxies: bool = Field(
        False,
        description="whether calls go through the proxies of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY)",
    )


class GatewaySettings(_Group):
    """The gateway: its address, its public URL and its secret."""

    public_url: str = Field("http://127.0.0.1:8080", description="the gateway's URL as clients and providers see it")
    gateway_host: str = Field("127.0.0.1", description="the address that the gateway listens on")
    gateway_port: int = Field(8080, ge=0, le=65535, description="the port that the gateway listens on")
    gateway_connections: int = Field(
        1000, ge=2, le=100_000, description="connections of the gateway at a time; one address may have half of them"
    )
    secret: SecretStr | None = Field(
        None, description="signs URLs of files and webhooks; 16 characters or more, the same for workers and gateway"
    )
    second_secret: SecretStr | None = Field(
        None, description="is accepted beside the secret, but signs nothing: the next or the last one, for a rotation"
    )
    metrics_token: SecretStr | None = Field(
        None, description="GET /metrics asks for it as a bearer token; without one, /metrics is open"
    )
    webhooks: Literal["auto", "on", "off"] = Field(
        "auto", description="on, off, or auto: on if a secret is set and the provider can reach the gateway"
    )

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that are accepted; the first one signs."""
        return tuple(each.get_secret_value() for each in (self.secret, self.second_secret) if each)

    @field_validator("secret", "second_secret", "metrics_token")
    @classmethod
    def _is_strong(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and (why := weakness(secret.get_secret_value())):
            raise ValueError(why)
        return secret

    @field_validator("public_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
            raise ValueError("allowed: http://host[:port] or https://host[:port]")
        return url.rstrip("/")


class WorkerSettings(_Group):
    """Worker processes: claims, stop, results, health, logs."""

    lease_s: float = Field(8, ge=1, le=300, description="a claim that is not renewed ends after this, in seconds")
    max_claims: int = Field(64, ge=1, le=1000, description="rows that one process advances at a time")
    stop_s: float = Field(
        30,
        ge=0,
        le=3600,
        description="how long a stopping worker waits for a running submission or upload, in seconds",
    )
    duplicate_usd: float = Field(
        DUPLICATE_USD,
        ge=0,
        description="a submission whose answer was lost, and that nobody can search for, is made again if it may cost "
        "at most so many US dollars; otherwise its job ends as SubmitUnknownError",
    )
    result_days: float = Field(
        7,
        ge=MIN_RESULT_DAYS,
        le=365,
        description="how long a finished job and its result are kept, in days. At least a day, so that a message which "
        "the broker delivers again finds the row of its job",
    )
    heartbeat_file: Path | None = Field(
        None, description="a file that a healthy worker touches every 2 s, for health checks"
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="json, console, or auto: console on a terminal, otherwise json"
    )


class FalSettings(_Group):
    """fal.ai. `config.keys.fal` finds the key."""

    fal_base_url: str | None = Field(None, description="the URL of the twin instead of fal.ai: http://host:port")
    fal_timeout_s: float = Field(30, gt=0, le=600, description="timeout of one call to fal, in seconds")
    fal_stream_s: float = Field(
        900,
        gt=0,
        le=3600,
        description="the most for a call whose events are streamed, such as a ComfyUI workflow, in seconds; the row of "
        "a worker that died in it is held as long",
    )
    fal_comfy_nodes: Path | None = Field(
        None,
        description="a file with the answer of the Comfy server's GET /object_info: other nodes are refused before "
        "anything is sent",
    )
    fal_low_priority: bool = Field(
        False,
        description="send priority low to fal, where such a job waits behind the normal jobs of all customers",
    )

    fal_files_s: int = Field(
        259_200,
        ge=86_400,
        le=31_536_000,
        description="how long fal keeps the files of a run and our uploads, in seconds. The worker stores the files of "
        "a run when it ends, so this is how long all workers may be away",
    )

    @field_validator("fal_base_url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None and urlsplit(url).scheme not in {"http", "https"}:
            raise ValueError("allowed: http://host:port or https://host:port")
        return url.rstrip("/") if url else None


class AnthropicSettings(_Group):
    """Anthropic. Without a key it is disabled, unless the twin replaces it."""

    model_config = SettingsConfigDict(**{**_OURS, "populate_by_name": True})

    anthropic_api_key: SecretStr | None = Field(
        None, validation_alias="ANTHROPIC_API_KEY", description="Anthropic's key; without one, Anthropic is disabled"
    )
    anthropic_base_url: str | None = Field(
        None, description="the URL of the twin instead of Anthropic: http://host:port/anthropic"
    )
    anthropic_timeout_s: float = Field(120, gt=0, le=600, description="timeout of one call to Anthropic, in seconds")

    @field_validator("anthropic_api_key")
    @classmethod
    def _is_one_word(cls, key: SecretStr | None) -> SecretStr | None:
        word = key.get_secret_value().strip() if key else ""
        if any(not "!" <= sign <= "~" for sign in word):  # it becomes a header
            raise ValueError("allowed: one word of ASCII")
        return SecretStr(word) if word else None

    @field_validator("anthropic_base_url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc):
            raise ValueError("allowed: http://host:port/path or https://host:port/path")
        return url.rstrip("/") if url else None


class GoogleSettings(_Group):
    """Google: Vertex AI and the Gemini API. `config.keys.google` finds the access."""

    google_base_url: str | None = Field(
        None, description="the URL of the twin instead of Google: http://host:port/google"
    )
    google_timeout_s: float = Field(180, gt=0, le=900, description="timeout of one call to Google, in seconds")
    google_region: str = Field(
        "us-central1", pattern=r"^[a-z]+(-[a-z]+\d+)?$", description="Vertex AI's region for try-on and video"
    )
    google_safety: Literal["strict", "default", "fashion", "open"] = Field(
        "fashion", description="Google's content filters: strict, default (Google's own), fashion or open"
    )
    google_memory_mb: int = Field(
        256, ge=16, description="memory for the running calls of one process, with their files and answers, in MB"
    )

    @field_validator("google_base_url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None and urlsplit(url).scheme not in {"http", "https"}:
            raise ValueError("allowed: http://host:port/google or https://host:port/google")
        return url.rstrip("/") if url else None


class HealthSettings(_Group):
    """The health of providers: circuit breakers, and limits for submissions."""

    breaker_window_s: float = Field(
        10, ge=1, le=3600, description="the time over which failures are counted, in seconds"
    )
    breaker_failures: int = Field(5, ge=1, le=1000, description="a circuit opens only after this many failures")
    breaker_ratio: float = Field(0.5, gt=0, le=1, description="and only if this part of the answers failed")
    breaker_open_s: float = Field(5, gt=0, le=3600, description="how long a circuit is open the first time, in seconds")
    breaker_open_max_s: float = Field(
        120, gt=0, le=3600, description="how long it is open at most, after failed probes, in seconds"
    )
    provider_concurrency: str = Field(
        "", description="running submissions of all workers together, by provider: fal=20,vertex=10"
    )
    provider_rate_per_s: str = Field("", description="submissions per second of all workers, by provider: fal=5")

    @property
    def concurrency(self) -> dict[str, float]:
        """The most running submissions by provider; a provider that is not named has no limit."""
        return _limits(self.provider_concurrency, at_least=1)

    @property
    def rates(self) -> dict[str, float]:
        """The most submissions per second by provider; a provider that is not named has no limit."""
        return _limits(self.provider_rate_per_s)

    @field_validator("provider_concurrency", "provider_rate_per_s")
    @classmethod
    def _is_readable(cls, text: str, info: ValidationInfo) -> str:
        _limits(text, at_least=1 if info.field_name == "provider_concurrency" else 0)
        return text


def _limits(text: str, at_least: int = 0) -> dict[str, float]:
    """The numbers by provider in `fal=20,vertex=10`. 0 means no limit and is left out."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (piece.strip() for piece in part.partition("="))
        if not re.fullmatch(r"[a-z][a-z0-9_-]*", name) or not re.fullmatch(r"\d{1,6}(\.\d+)?", number):
            raise ValueError("allowed: provider=number, separated by commas")
        if at_least and float(number) % 1:
            raise ValueError("allowed: whole numbers")
        found[name] = float(number)
    return {name: number for name, number in found.items() if number}


class Settings(BaseModel):
    """All settings, grouped by concern. Frozen: a change needs a new process."""

    model_config = ConfigDict(frozen=True)

    redis: RedisSettings = Field(default_factory=RedisSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    foreign: ForeignSettings = Field(default_factory=ForeignSettings)
    request: RequestSettings = Field(default_factory=RequestSettings)
    network: NetworkSettings = Field(default_factory=NetworkSettings)
    gateway: GatewaySettings = Field(default_factory=GatewaySettings)
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    health: HealthSettings = Field(default_factory=HealthSettings)
    fal: FalSettings = Field(default_factory=FalSettings)
    google: GoogleSettings = Field(default_factory=GoogleSettings)
    anthropic: AnthropicSettings = Field(default_factory=AnthropicSettings)


GROUPS: tuple[type[BaseSettings], ...] = (
    RedisSettings,
    StoreSettings,
    ForeignSettings,
    RequestSettings,
    NetworkSettings,
    GatewaySettings,
    WorkerSettings,
    HealthSettings,
    FalSettings,
    GoogleSettings,
    AnthropicSettings,
)


def variable(group: type[BaseSettings], name: str) -> str:
    """The environment variable of a setting: the vendor's name if it has one, otherwise ours."""
    vendor_name = group.model_fields[name].validation_alias
    return vendor_name if isinstance(vendor_name, str) else f"{group.model_config.get('env_prefix', '')}{name}".upper()
