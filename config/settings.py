"""Everything an operator may set, read once by an entry point and handed down in parts.

Ours start with `KILNHAND_`; vendors keep their own names. A `.env` file in the working directory counts less than the
environment. Where fal's key is looked for is the one idea of `config.keys.fal`; what logs look like, of
`config.logging`.
"""

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.allowed_addresses import AllowedAddress, read_allowed

_OURS = SettingsConfigDict(
    env_prefix="KILNHAND_",
    env_file=".env",
    env_file_encoding="utf-8",
    env_ignore_empty=True,  # docker compose hands over an unset variable as an empty one
    frozen=True,
    extra="ignore",
    hide_input_in_errors=True,
)


class RedisSettings(BaseSettings):
    """Where the broker, the result backend and the ledger live: one Redis unless told otherwise."""

    model_config = _OURS

    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis for broker, result backend and ledger")
    broker_url: str | None = Field(None, description="Celery's broker, when it is another Redis")
    result_backend: str | None = Field(None, description="Celery's result backend, when it is another Redis")
    ledger_url: str | None = Field(None, description="the ledger of jobs, when it is another Redis")

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

    @field_validator("redis_url", "broker_url", "result_backend", "ledger_url")
    @classmethod
    def _is_redis(cls, url: str | None) -> str | None:
        if url is not None and urlsplit(url).scheme not in {"redis", "rediss", "unix"}:
            raise ValueError("allowed: redis://host:port/db, rediss://host:port/db or unix:///path")
        return url


class StoreSettings(BaseSettings):
    """Where finished files go, and how large they may be."""

    model_config = _OURS

    store_url: str = Field(
        ".kilnhand/files", description="file:///path, s3://bucket/prefix, gs://bucket/prefix or a folder"
    )
    max_file_mb: int = Field(
        2048, gt=0, description="largest file fetched from a provider, or weights and archives for one, in MB"
    )
    max_megapixels: int = Field(120, gt=0, description="largest picture that is decoded, in megapixels")
    url_days: float = Field(7, gt=0, le=365, description="how long a file's URL works, in days")

    @field_validator("store_url")
    @classmethod
    def _is_known(cls, url: str) -> str:
        if "://" in url and urlsplit(url).scheme not in {"file", "s3", "gs"}:
            raise ValueError("allowed: file:///path, s3://bucket/prefix, gs://bucket/prefix or a folder")
        return url if "://" in url else Path(url).resolve().as_uri()


class ForeignSettings(BaseSettings):
    """Files of foreign URLs: where they may be fetched from."""

    model_config = _OURS

    allow_inside: str = Field(
        "",
        description="not public, yet files may be fetched from there: host[:port] or network/bits, with commas",
    )

    @property
    def allowed(self) -> tuple[AllowedAddress, ...]:
        """Addresses that are allowed although they are not public."""
        return read_allowed(self.allow_inside)

    @field_validator("allow_inside")
    @classmethod
    def _is_readable(cls, text: str) -> str:
        read_allowed(text)
        return text


class GatewaySettings(BaseSettings):
    """The gateway: where it listens, how the world reaches it, what it signs with."""

    model_config = _OURS

    public_url: str = Field("http://127.0.0.1:8080", description="how the gateway is reached from outside")
    gateway_host: str = Field("127.0.0.1", description="the address that the gateway listens on")
    gateway_port: int = Field(8080, ge=0, le=65535, description="the port that the gateway listens on")
    secret: SecretStr | None = Field(
        None, min_length=16, description="signs URLs of files and webhooks; the same for worker and gateway"
    )
    webhooks: Literal["auto", "on", "off"] = Field(
        "auto", description="auto (when the provider can reach the gateway and a secret is set), on or off"
    )

    @field_validator("public_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
            raise ValueError("allowed: http://host[:port] or https://host[:port]")
        return url.rstrip("/")


class WorkerSettings(BaseSettings):
    """How a worker process minds its rows."""

    model_config = _OURS

    lease_s: float = Field(8, ge=1, le=300, description="a worker silent for so long loses its claims, in seconds")
    max_claims: int = Field(64, ge=1, le=1000, description="rows that one process advances at the same time")
    stop_s: float = Field(
        30,
        ge=0,
        le=3600,
        description="how long a stopping worker waits for a submission or an upload under way, in seconds",
    )
    result_days: float = Field(7, gt=0, le=365, description="how long a finished job and its result are kept, in days")
    heartbeat_file: Path | None = Field(None, description="touched every 2 s by a healthy worker, for health checks")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto (console on a terminal, else json), json or console"
    )


class FalSettings(BaseSettings):
    """fal.ai. The key itself is found by `config.keys.fal`."""

    model_config = _OURS

    fal_base_url: str | None = Field(None, description="a stand-in for fal.ai (the twin), as http://host:port")
    fal_timeout_s: float = Field(30, gt=0, le=600, description="longest wait for one answer of fal, in seconds")
    fal_low_priority: bool = Field(
        False,
        description="pass priority low on to fal, where such a job waits behind all customers' normal ones",
    )

    @field_validator("fal_base_url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None and urlsplit(url).scheme not in {"http", "https"}:
            raise ValueError("allowed: http://host:port or https://host:port")
        return url.rstrip("/") if url else None


class AnthropicSettings(BaseSettings):
    """Anthropic. Without a key it is disabled, but for the twin."""

    model_config = SettingsConfigDict(**{**_OURS, "populate_by_name": True})

    anthropic_api_key: SecretStr | None = Field(
        None, validation_alias="ANTHROPIC_API_KEY", description="Anthropic's key; without one, Anthropic is disabled"
    )
    anthropic_base_url: str | None = Field(
        None, description="a stand-in for Anthropic (the twin), as http://host:port/anthropic"
    )
    anthropic_timeout_s: float = Field(
        120, gt=0, le=600, description="longest wait for one answer of Anthropic, in seconds"
    )

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


class GoogleSettings(BaseSettings):
    """Google: Vertex AI and the Gemini API. Access itself is found by `config.keys.google`."""

    model_config = _OURS

    google_base_url: str | None = Field(
        None, description="a stand-in for Google (the twin), as http://host:port/google"
    )
    google_timeout_s: float = Field(180, gt=0, le=900, description="longest wait for one answer of Google, in seconds")
    google_region: str = Field(
        "us-central1", pattern=r"^[a-z]+(-[a-z]+\d+)?$", description="where Vertex AI runs try-on and video"
    )
    google_safety: Literal["strict", "default", "fashion", "open"] = Field(
        "fashion", description="what Google's filters let through: strict, default (its own), fashion or open"
    )
    google_memory_mb: int = Field(
        256, ge=16, description="memory that calls under way may take in one process, with files and answers, in MB"
    )

    @field_validator("google_base_url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None and urlsplit(url).scheme not in {"http", "https"}:
            raise ValueError("allowed: http://host:port/google or https://host:port/google")
        return url.rstrip("/") if url else None


class HealthSettings(BaseSettings):
    """The health of providers: when a circuit opens, and how much a provider is given at a time."""

    model_config = _OURS

    breaker_window_s: float = Field(10, ge=1, le=3600, description="failures are counted over so long, in seconds")
    breaker_failures: int = Field(5, ge=1, le=1000, description="fewer failures than this open no circuit")
    breaker_ratio: float = Field(0.5, gt=0, le=1, description="nor does a smaller part of the answers")
    breaker_open_s: float = Field(5, gt=0, le=3600, description="how long a circuit opens the first time, in seconds")
    breaker_open_max_s: float = Field(120, gt=0, le=3600, description="and at most, after probes that failed")
    provider_concurrency: str = Field(
        "", description="submissions under way at once, of all workers, by provider: fal=20,vertex=10"
    )
    provider_rate_per_s: str = Field("", description="submissions a second, of all workers, by provider: fal=5")

    @property
    def concurrency(self) -> dict[str, float]:
        """Submissions under way at once, by provider; those that are not named have no limit."""
        return _limits(self.provider_concurrency, at_least=1)

    @property
    def rates(self) -> dict[str, float]:
        """Submissions a second, by provider."""
        return _limits(self.provider_rate_per_s)

    @field_validator("provider_concurrency", "provider_rate_per_s")
    @classmethod
    def _is_readable(cls, text: str, info: ValidationInfo) -> str:
        _limits(text, at_least=1 if info.field_name == "provider_concurrency" else 0)
        return text


def _limits(text: str, at_least: int = 0) -> dict[str, float]:
    """Numbers by provider, as in fal=20,vertex=10; 0 or no mention is no limit."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (piece.strip() for piece in part.partition("="))
        if not re.fullmatch(r"[a-z][a-z0-9_-]*", name) or not re.fullmatch(r"\d{1,6}(\.\d+)?", number):
            raise ValueError("allowed: provider=number, with commas between")
        if at_least and float(number) % 1:
            raise ValueError("allowed: whole numbers")
        found[name] = float(number)
    return {name: number for name, number in found.items() if number}


class Settings(BaseModel):
    """All settings, grouped by concern. Frozen: a change is a new process."""

    model_config = ConfigDict(frozen=True)

    redis: RedisSettings = Field(default_factory=RedisSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    foreign: ForeignSettings = Field(default_factory=ForeignSettings)
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
    GatewaySettings,
    WorkerSettings,
    HealthSettings,
    FalSettings,
    GoogleSettings,
    AnthropicSettings,
)


def variable(group: type[BaseSettings], name: str) -> str:
    """The environment variable of a setting: its vendor's own name where it has one, else ours."""
    vendors = group.model_fields[name].validation_alias
    return vendors if isinstance(vendors, str) else f"{group.model_config.get('env_prefix', '')}{name}".upper()
