"""fal's side of a world: its queue, its list of requests and its webhooks, over fal's own wire.

The real provider talks to it (`worker.providers.fal`), with fal's SDK and our guard. What fal is known to do is in
`twin`; here it is as small as a world needs.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.simulation.decisions import Decisions, Fault
from tests.simulation.payments import Paid, Payments
from tests.simulation.virtual_loop import VirtualLoop

USD, VIDEO_USD = 0.003, 0.5
VIDEO_TIMES = 15.0  # a video takes so much longer than a picture
_REQUEST = re.compile(r"/(?P<app>[^/]+/[^/]+)/requests/(?P<id>[^/]+)(?P<rest>/.*)?$")
RUN_FAILS = Fault("run fails", weight=1.0)  # fal's own 500, which is not billed


@dataclass
class Request:
    """A request in fal's queue."""

    paid: Paid
    endpoint: str
    given: dict[str, Any]
    webhook: str | None
    starts_at: float
    ends_at: float
    has_failed: bool = False

    def is_cancelled(self) -> bool:
        """Whether it will not run."""
        return self.paid.is_cancelled


@dataclass
class Answer:
    """An answer of fal's, as JSON."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


class FalServer:
    """Takes requests, runs them, lists them, reports them."""

    def __init__(
        self, loop: VirtualLoop, decisions: Decisions, payments: Payments, send_webhook: Callable[[Request], None]
    ) -> None:
        self.loop, self.decisions, self.payments, self._send_webhook = loop, decisions, payments, send_webhook
        self.requests: dict[str, Request] = {}
        self.list_lag_s = 0.0
        self.list_is_forbidden = False
        self.list_fails = 0.0
        self.before_take: Callable[[str], None] = lambda job: None

    def answer(self, method: str, url: str, headers: Any, given: Any) -> Answer:
        """The answer to a call, which takes effect now."""
        parts = urlsplit(url)
        if parts.hostname == "api.fal.ai":
            return self._list(parse_qs(parts.query)) if "/requests/" in parts.path else self._billing()
        if found := _REQUEST.search(parts.path):
            request = self.requests.get(found["id"])
            if request is None:
                return Answer(404, {"status": "NOT_FOUND"})
            known = {"x-fal-request-id": request.paid.request_id}
            if method == "PUT":
                return self._cancel(request)
            if found["rest"]:
                return Answer(200, self._status(request), known)
            return self._result(request, known)
        return self._take(parts.path.lstrip("/"), parse_qs(parts.query), headers, given)

    def _take(self, endpoint: str, query: dict[str, list[str]], headers: Any, given: dict[str, Any]) -> Answer:
        tags = dict(tag.split("=") for tag in headers["x-fal-tags"].split(","))
        job, attempt, now = tags["job"], int(tags["attempt"]), self.loop.time()
        self.before_take(job)
        number = len(self.requests) + 1
        paid = Paid("fal", job, attempt, now, f"fal-{number}")
        self.payments.taken.append(paid)
        label = f"fal run {job}"
        starts_at = now + self.decisions.between(label, 0.1, 3.0)
        usual = VIDEO_TIMES if "video" in endpoint else 1.0
        ends_at = starts_at + self.decisions.between(label, 0.3, 8.0) * usual
        request = Request(paid, endpoint, given, (query.get("fal_webhook") or [None])[0], starts_at, ends_at)
        request.has_failed = bool(self.decisions.fault(label, (RUN_FAILS,), boost=4.0)[0])
        self.requests[paid.request_id] = request
        self.loop.outside_later(ends_at - now, self._end, request)
        base = f"https://queue.fal.run/{'/'.join(endpoint.split('/')[:2])}/requests/{paid.request_id}"
        body = {
            "request_id": paid.request_id,
            "response_url": base,
            "status_url": f"{base}/status",
            "cancel_url": f"{base}/cancel",
            "status": "IN_QUEUE",
            "queue_position": 0,
        }
        return Answer(200, body, {"x-fal-request-id": paid.request_id})

    def _end(self, request: Request) -> None:
        if not request.is_cancelled():
            usd = VIDEO_USD if "video" in request.endpoint else USD
            request.paid.usd = 0.0 if request.has_failed else usd
            if request.webhook:
                self._send_webhook(request)

    def _status(self, request: Request) -> dict[str, Any]:
        now = self.loop.time()
        if request.is_cancelled() or now >= request.ends_at:
            return {"status": "COMPLETED", "logs": [], "metrics": {"inference_time": 1.0}}
        if now < request.starts_at:
            return {"status": "IN_QUEUE", "queue_position": 0}
        return {"status": "IN_PROGRESS", "logs": []}

    def output(self, request: Request) -> dict[str, Any]:
        """The output of a run that has ended well."""
        url = f"https://v3.fal.media/{request.paid.request_id}"
        if "video" in request.endpoint:
            return {"video": {"url": f"{url}.mp4"}}
        return {"images": [{"url": f"{url}.png"}], "seed": 1}

    def _result(self, request: Request, known: dict[str, str]) -> Answer:
        if request.is_cancelled():
            return Answer(499, {"detail": "cancelled"}, known | {"x-fal-error-type": "client_cancelled"})
        if self.loop.time() < request.ends_at:
            return Answer(400, {"detail": "Request is still in progress"}, known)
        if request.has_failed:
            kind = "internal_error"
            return Answer(500, {"detail": "failed", "error_type": kind}, known | {"x-fal-error-type": kind})
        return Answer(200, self.output(request), known | {"x-fal-billable-units": "1"})

    def _cancel(self, request: Request) -> Answer:
        now = self.loop.time()
        if request.is_cancelled() or now >= request.ends_at:
            return Answer(400, {"status": "ALREADY_COMPLETED"})
        if now < request.starts_at:
            request.paid.is_cancelled = True
            return Answer(200, {"status": "OK"})
        return Answer(202, {"status": "CANCELLATION_REQUESTED"})

    def _list(self, query: dict[str, list[str]]) -> Answer:
        if self.list_is_forbidden:
            return Answer(403, {"error": {"message": "forbidden"}})
        if self.decisions.is_open and self.decisions.chance("fal list") < self.list_fails:
            return Answer(503, {"error": {"message": "unavailable"}})
        shown = [each for each in self.requests.values() if each.ends_at + self.list_lag_s <= self.loop.time()]
        asked = {name for names in query.get("endpoint_id", ()) for name in names.split(",")}
        items = [self._item(each) for each in shown if each.endpoint in asked]
        return Answer(200, {"items": items[::-1], "next_cursor": None, "has_more": False})

    def _billing(self) -> Answer:
        """fal has to switch on the billing events by tag; it has not."""
        return Answer(403, {"error": {"message": "not enabled"}})

    def _item(self, request: Request) -> dict[str, Any]:
        return {
            "request_id": request.paid.request_id,
            "endpoint_id": request.endpoint,
            "sent_at": _stamp(request.paid.at),
            "started_at": _stamp(request.starts_at),
            "ended_at": _stamp(request.ends_at),
            "status_code": 200,
            "duration": request.ends_at - request.starts_at,
            "json_input": request.given,
            "json_output": None,
        }


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
