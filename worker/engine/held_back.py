"""Why a provider may not be asked now, as text for the status and the history of the job that waits. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime

from config.model import Route
from worker.health.base import Cause, Wait

TIMED_S = 10.0  # a shorter wait has no time in its text: each new text is published, and shorter ones repeat


def clock(at: float) -> str:
    """Seconds since the epoch as a time of the day, UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S} UTC"


def why_held_back(route: Route, wait: Wait, now: float) -> str:
    """The reason, and when the next try is if that is long. `now`: seconds since the epoch."""
    provider, next_try = route.provider, ""
    if wait.after_s > TIMED_S:
        next_try = f"; next try at {clock(now + wait.after_s)}"
    match wait.why:
        case "open":
            return f"{provider}'s circuit is open{_cause(route, wait.cause)}{next_try}"
        case "probing":
            return f"{provider}'s circuit is open{_cause(route, wait.cause)}; another job tries it now"
        case "paused":
            return f"{provider} asked for a pause (rate limit or overload){next_try}"
        case "full":
            return f"{provider} already gets as many jobs as its limits in the settings allow{next_try}"


def _cause(route: Route, cause: Cause | None) -> str:
    return _CAUSES[cause].format(provider=route.provider, endpoint=route.endpoint) if cause else ""


_CAUSES: Mapping[Cause, str] = {
    "locked": ": {provider} refused our key (401), or has locked our account",
    "forbidden": ": {provider} does not let our key use {endpoint} (403)",
    "retired": ": {provider} no longer serves {endpoint}",
    "failures": ": too many submissions to {provider} failed",
}
