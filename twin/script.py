"""Faults on order: what shall go wrong, at which call, how many times.

A fault is plain data; `Script` hands it out when its turn has come. Acting it out on the wire is left to
`misbehave`, to the run, and to the webhook sender.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Provider(StrEnum):
    """Whose wire a fault is meant for."""

    ANY = "*"
    FAL = "fal"
    GOOGLE = "google"
    ANTHROPIC = "anthropic"


class Call(StrEnum):
    """The calls of a client at which a fault may strike; direct runs count as submit."""

    SUBMIT = "submit"
    STATUS = "status"
    RESULT = "result"
    CANCEL = "cancel"
    UPLOAD = "upload"
    FILE = "file"
    WEBHOOK = "webhook"
    LIST = "list"
    AUTH = "auth"
    RUN = "run"


class What(StrEnum):
    """What goes wrong."""

    DROP = "drop"
    HANG = "hang"
    HTTP = "http"
    NGINX = "nginx"
    GARBAGE = "garbage"
    TRUNCATED = "truncated"
    SLOW = "slow"
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


OF_AN_ANSWER = frozenset({What.BLOCKED, What.MAX_TOKENS, What.BAD_SCHEMA})
OF_GOOGLE = frozenset({What.IMAGE_SAFETY, What.NO_IMAGE, What.TEXT_ONLY})
OF_A_RUN = frozenset({What.BLACK, What.STUCK, What.ERROR}) | OF_AN_ANSWER | OF_GOOGLE
OF_A_WEBHOOK = frozenset({What.LOST, What.TWICE, What.DELAY, What.PAYLOAD_ERROR, What.BAD_SIGNATURE})
OF_A_FILE = frozenset({What.WRONG_TYPE})
OF_A_CANCEL = frozenset({What.IGNORED})
OF_NO_ENDPOINT = {Call.UPLOAD: "an upload", Call.AUTH: "a token"}
USUAL_STATUS = {What.NGINX: 502, What.ERROR: 500, What.HTTP: 500}
FOREVER = -1


class Fault(BaseModel):
    """One order: let `skip` matching calls pass, then spoil `times` of them (-1: all)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: Provider = Provider.ANY
    endpoint: str = "*"
    call: Call | None = None
    what: What
    times: int = Field(default=1, ge=FOREVER)
    skip: int = Field(default=0, ge=0)
    seconds: float | None = Field(default=None, ge=0)
    status: int | None = Field(default=None, ge=200, le=599)
    body: Any = None
    headers: dict[str, str] = Field(default_factory=dict)
    accepted: bool | None = None

    @model_validator(mode="after")
    def _call_fits(self) -> Self:
        """Refuse what cannot happen."""
        if self.times == 0:
            raise ValueError("times must be -1 (for ever) or at least 1")
        allowed = allowed_calls(self.what)
        if self.call is None and len(allowed) > 1 and self.what not in OF_A_RUN:
            raise ValueError(f"call is missing; {self.what} may strike at: {', '.join(allowed)}")
        if self.call is not None and self.call not in allowed:
            raise ValueError(f"{self.what} cannot strike at {self.call}; allowed: {', '.join(allowed)}")
        if self.strikes_at in OF_NO_ENDPOINT and self.endpoint != "*":
            raise ValueError(f"{OF_NO_ENDPOINT[self.strikes_at]} belongs to no endpoint; leave endpoint out")
        at = providers_of(self.what)
        if self.provider not in (Provider.ANY, *at):
            raise ValueError(f"{self.what} cannot happen at {self.provider}; allowed: {', '.join(at)}")
        return self

    @property
    def strikes_at(self) -> Call:
        """The call that uses this fault up; a spoiled run is decided when the job is taken."""
        return Call.RUN if self.what in OF_A_RUN else self.call or allowed_calls(self.what)[0]

    @property
    def usual_status(self) -> int:
        """The HTTP status to answer with."""
        return self.status or USUAL_STATUS.get(self.what, 200)

    @property
    def takes_job(self) -> bool:
        """Whether a submission that meets this fault is taken (and billed) before it strikes."""
        return self.what is not What.HTTP if self.accepted is None else self.accepted

    def matches(self, provider: Provider, call: Call, *endpoints: str) -> bool:
        """Whether this fault is meant for such a call; only a list may name several endpoints."""
        is_meant = self.provider in (Provider.ANY, provider) and provider in providers_of(self.what)
        return is_meant and self.strikes_at is call and self.endpoint in ("*", *endpoints)


def providers_of(what: What) -> tuple[Provider, ...]:
    """Return the providers at which such a fault can happen."""
    if what in OF_GOOGLE:
        return (Provider.GOOGLE,)
    if what in OF_AN_ANSWER:
        return (Provider.GOOGLE, Provider.ANTHROPIC)
    if what in OF_A_WEBHOOK | OF_A_CANCEL | OF_A_FILE:
        return (Provider.FAL,)
    if what is What.BLACK:
        return (Provider.FAL, Provider.GOOGLE)
    return (Provider.FAL, Provider.GOOGLE, Provider.ANTHROPIC)


def allowed_calls(what: What) -> tuple[Call, ...]:
    """Return the calls at which such a fault may strike."""
    if what in OF_A_RUN:
        return (Call.RUN, Call.SUBMIT, Call.STATUS, Call.RESULT)
    if what in OF_A_FILE:
        return (Call.FILE,)
    if what in OF_A_WEBHOOK:
        return (Call.WEBHOOK,)
    if what in OF_A_CANCEL:
        return (Call.CANCEL,)
    return (Call.SUBMIT, Call.STATUS, Call.RESULT, Call.CANCEL, Call.UPLOAD, Call.FILE, Call.LIST, Call.AUTH)


class Script:
    """The faults still to come, first ordered first served."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, faults: Iterable[Fault]) -> None:
        """Append faults to the script."""
        self._faults.extend(faults)

    def left(self) -> list[Fault]:
        """Return the faults that have not struck as often as ordered."""
        return list(self._faults)

    def clear(self) -> None:
        """Forget every fault."""
        self._faults.clear()

    def take(self, call: Call, *endpoints: str, provider: Provider = Provider.FAL) -> Fault | None:
        """Return the fault for this call, if one is due, and count it."""
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
