"""The script: which faults happen, at which calls, how many times.

A fault is plain data; `Script` returns it for the calls that it matches. `fault_responses`, the run of a model and
the webhook sender carry it out.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Provider(StrEnum):
    """The imitated provider that a fault belongs to."""

    ANY = "*"
    FAL = "fal"
    GOOGLE = "google"
    ANTHROPIC = "anthropic"


class Call(StrEnum):
    """The calls at which a fault can happen; a direct run counts as `submit`."""

    SUBMIT = "submit"
    STATUS = "status"
    RESULT = "result"
    CANCEL = "cancel"
    UPLOAD = "upload"
    FILE = "file"
    WEBHOOK = "webhook"
    LIST = "list"
    BILLING = "billing"
    PLATFORM = "platform"
    AUTH = "auth"
    RUN = "run"


class FaultKind(StrEnum):
    """The faults; docs/twin.md says what each one does."""

    DROP = "drop"
    HANG = "hang"
    HTTP = "http"
    NGINX = "nginx"
    GARBAGE = "garbage"
    TRUNCATED = "truncated"
    SLOW = "slow"
    DRIP = "drip"
    WRONG_TYPE = "wrong_type"
    BLACK = "black"
    STUCK = "stuck"
    ERROR = "error"
    LOST = "lost"
    TWICE = "twice"
    DELAY = "delay"
    PAYLOAD_ERROR = "payload_error"
    BAD_SIGNATURE = "bad_signature"
    IGNORED = "ignored"
    BLOCKED = "blocked"
    IMAGE_SAFETY = "image_safety"
    NO_IMAGE = "no_image"
    TEXT_ONLY = "text_only"
    MAX_TOKENS = "max_tokens"
    BAD_SCHEMA = "bad_schema"


ANSWER_FAULTS = frozenset({FaultKind.BLOCKED, FaultKind.MAX_TOKENS, FaultKind.BAD_SCHEMA})
GOOGLE_FAULTS = frozenset({FaultKind.IMAGE_SAFETY, FaultKind.NO_IMAGE, FaultKind.TEXT_ONLY})
RUN_FAULTS = frozenset({FaultKind.BLACK, FaultKind.STUCK, FaultKind.ERROR}) | ANSWER_FAULTS | GOOGLE_FAULTS
WEBHOOK_FAULTS = frozenset(
    {FaultKind.LOST, FaultKind.TWICE, FaultKind.DELAY, FaultKind.PAYLOAD_ERROR, FaultKind.BAD_SIGNATURE}
)
FILE_FAULTS = frozenset({FaultKind.WRONG_TYPE})
CANCEL_FAULTS = frozenset({FaultKind.IGNORED})
CALLS_WITHOUT_ENDPOINT = {Call.UPLOAD: "an upload", Call.AUTH: "a token"}
DEFAULT_STATUS = {FaultKind.NGINX: 502, FaultKind.ERROR: 500, FaultKind.HTTP: 500}
FOREVER = -1


class Fault(BaseModel):
    """One fault: `skip` matching calls pass, then `times` matching calls fail (-1: all)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: Provider = Provider.ANY
    endpoint: str = "*"
    call: Call | None = None
    what: FaultKind
    times: int = Field(default=1, ge=FOREVER)
    skip: int = Field(default=0, ge=0)
    seconds: float | None = Field(default=None, ge=0)
    status: int | None = Field(default=None, ge=200, le=599)
    body: Any = None
    headers: dict[str, str] = Field(default_factory=dict)
    accepted: bool | None = None

    @model_validator(mode="after")
    def _call_fits(self) -> Self:
        """Raise ValueError for a fault that cannot happen."""
        if self.times == 0:
            raise ValueError("times must be -1 (for ever) or at least 1")
        allowed = allowed_calls(self.what)
        if self.call is None and len(allowed) > 1 and self.what not in RUN_FAULTS:
            raise ValueError(f"call is missing; {self.what} can happen at: {', '.join(allowed)}")
        if self.call is not None and self.call not in allowed:
            raise ValueError(f"{self.what} cannot happen at {self.call}; allowed: {', '.join(allowed)}")
        if self.affected_call in CALLS_WITHOUT_ENDPOINT and self.endpoint != "*":
            raise ValueError(f"{CALLS_WITHOUT_ENDPOINT[self.affected_call]} belongs to no endpoint; leave endpoint out")
        at = providers_of(self.what)
        if self.provider not in (Provider.ANY, *at):
            raise ValueError(f"{self.what} cannot happen at {self.provider}; allowed: {', '.join(at)}")
        return self

    @property
    def affected_call(self) -> Call:
        """The call that takes this fault from the script; faults of a run are taken when the job is accepted."""
        return Call.RUN if self.what in RUN_FAULTS else self.call or allowed_calls(self.what)[0]

    @property
    def response_status(self) -> int:
        """The HTTP status of the answer."""
        return self.status or DEFAULT_STATUS.get(self.what, 200)

    @property
    def accepts_job(self) -> bool:
        """Whether the submission is accepted (and billed) before this fault happens."""
        return self.what is not FaultKind.HTTP if self.accepted is None else self.accepted

    def matches(self, provider: Provider, call: Call, *endpoints: str) -> bool:
        """Whether this fault is for such a call; only calls of lists name several endpoints."""
        is_for_provider = self.provider in (Provider.ANY, provider) and provider in providers_of(self.what)
        return is_for_provider and self.affected_call is call and self.endpoint in ("*", *endpoints)


def providers_of(what: FaultKind) -> tuple[Provider, ...]:
    """Return the providers at which this fault can happen."""
    if what in GOOGLE_FAULTS:
        return (Provider.GOOGLE,)
    if what in ANSWER_FAULTS - {FaultKind.BAD_SCHEMA}:
        return (Provider.GOOGLE, Provider.ANTHROPIC)
    if what in WEBHOOK_FAULTS | CANCEL_FAULTS | FILE_FAULTS:
        return (Provider.FAL,)
    if what is FaultKind.BLACK:
        return (Provider.FAL, Provider.GOOGLE)
    return (Provider.FAL, Provider.GOOGLE, Provider.ANTHROPIC)


def allowed_calls(what: FaultKind) -> tuple[Call, ...]:
    """Return the calls at which this fault can happen."""
    if what in RUN_FAULTS:
        return (Call.RUN, Call.SUBMIT, Call.STATUS, Call.RESULT)
    if what in FILE_FAULTS:
        return (Call.FILE,)
    if what in WEBHOOK_FAULTS:
        return (Call.WEBHOOK,)
    if what in CANCEL_FAULTS:
        return (Call.CANCEL,)
    return tuple(call for call in Call if call not in (Call.WEBHOOK, Call.RUN))


class Script:
    """The remaining faults; the one that was added first is used first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, faults: Iterable[Fault]) -> None:
        """Append faults."""
        self._faults.extend(faults)

    def remaining(self) -> list[Fault]:
        """Return the faults that still have to happen at least once."""
        return list(self._faults)

    def clear(self) -> None:
        """Drop all faults."""
        self._faults.clear()

    def take(self, call: Call, *endpoints: str, provider: Provider = Provider.FAL) -> Fault | None:
        """Return the fault for this call and count it; None if there is none."""
        for place, fault in enumerate(self._faults):
            if not fault.matches(provider, call, *endpoints):
                continue
            if fault.skip:
                self._faults[place] = fault.model_copy(update={"skip": fault.skip - 1})
                continue
            self._count(place, fault)
            return fault
        return None

    def _count(self, place: int, fault: Fault) -> None:
        if fault.times == 1:
            del self._faults[place]
        elif fault.times != FOREVER:
            self._faults[place] = fault.model_copy(update={"times": fault.times - 1})
