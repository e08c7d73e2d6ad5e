"""The control calls under `/_twin`: accepted requests, the script of faults, the pace, the platform, the reset."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from twin.control_page import render_page
from twin.fal.platform_settings import PlatformSettings
from twin.fal.service import FalService, describe_job
from twin.file_store import FileStore
from twin.pace import Pace
from twin.paid_calls import CallStore
from twin.script import Fault, Provider, Script

PAGE_ROWS = 60
FAULTS = TypeAdapter(list[Fault])


@dataclass(frozen=True, slots=True)
class Control:
    """The parts that the calls read and change, and the pace that a reset restores."""

    fal: FalService
    call_store: CallStore
    script: Script
    files: FileStore
    first_pace: Pace

    def routes(self) -> list[Route]:
        """Return the routes; the caller mounts them at `/_twin`."""
        return [
            Route("/", self._page),
            Route("/health", self._health),
            Route("/requests", self._requests),
            Route("/script", self._script, methods=["GET", "POST"]),
            Route("/pace", self._pace, methods=["GET", "POST"]),
            Route("/platform", self._platform, methods=["GET", "POST"]),
            Route("/finish", self._finish, methods=["POST"]),
            Route("/reset", self._reset, methods=["POST"]),
        ]

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _requests(self, request: Request) -> Response:
        endpoint = request.query_params.get("endpoint")
        name = request.query_params.get("provider", Provider.ANY)
        if name not in set(Provider):
            return JSONResponse({"detail": f"provider: one of {', '.join(Provider)}", "errors": []}, 422)
        provider = Provider(name)
        count = {"count": self._count(endpoint, provider)}
        if request.query_params.get("count"):
            return JSONResponse(count)
        return JSONResponse(count | {"requests": self._records(endpoint, provider)})

    def _count(self, endpoint: str | None = None, provider: Provider = Provider.ANY) -> int:
        of_fal = self.fal.scheduler.accepted_count(endpoint) if provider in (Provider.ANY, Provider.FAL) else 0
        return of_fal + self.call_store.accepted_count(endpoint, provider)

    def _records(self, endpoint: str | None = None, provider: Provider = Provider.ANY) -> list[dict[str, Any]]:
        """Return the records of one provider and endpoint, or of all, oldest first."""
        jobs = [job for job in self.fal.scheduler.jobs() if endpoint in (None, job.submission.endpoint)]
        calls = [call for call in self.call_store.calls() if endpoint in (None, call.details.endpoint)]
        records = [*(describe_job(job) for job in jobs), *(self.call_store.describe(call) for call in calls)]
        matching = [record for record in records if provider in (Provider.ANY, record["provider"])]
        return sorted(matching, key=lambda record: record["accepted_at"])

    async def _script(self, request: Request) -> Response:
        if request.method == "POST":
            return await _checked(request, self._add_faults)
        return JSONResponse(self._faults_left())

    def _add_faults(self, body: Any) -> dict[str, Any]:
        self.script.add(FAULTS.validate_python(body if isinstance(body, list) else [body]))
        return self._faults_left()

    def _faults_left(self) -> dict[str, Any]:
        return {"script": [fault.model_dump(mode="json", exclude_none=True) for fault in self.script.remaining()]}

    async def _pace(self, request: Request) -> Response:
        if request.method == "POST":
            return await _checked(request, self._set_pace)
        return JSONResponse(self.fal.pace.model_dump())

    def _set_pace(self, body: Any) -> dict[str, Any]:
        given = Pace.model_validate(body).model_dump(exclude_unset=True)
        self.fal.set_pace(self.fal.pace.model_copy(update=given))
        return self.fal.pace.model_dump()

    async def _platform(self, request: Request) -> Response:
        if request.method == "POST":
            return await _checked(request, self._set_platform)
        return JSONResponse(self.fal.platform.model_dump(mode="json"))

    def _set_platform(self, body: Any) -> dict[str, Any]:
        given = PlatformSettings.model_validate(body).model_dump(exclude_unset=True)
        self.fal.platform = self.fal.platform.model_copy(update=given)
        return self.fal.platform.model_dump(mode="json")

    async def _finish(self, request: Request) -> Response:
        self.fal.scheduler.finish()
        return JSONResponse({"status": "ok"})

    async def _reset(self, request: Request) -> Response:
        self.script.clear()
        self.fal.clear()
        self.call_store.clear()
        self.files.clear()
        self.fal.set_pace(self.first_pace)
        return JSONResponse({"status": "ok"})

    async def _page(self, request: Request) -> Response:
        return HTMLResponse(render_page(self._records()[: -PAGE_ROWS - 1 : -1], self._count()))


async def _checked(request: Request, act: Callable[[Any], dict[str, Any]]) -> Response:
    """Call `act` with the JSON body; answer 422 with one message for each bad field."""
    try:
        return JSONResponse(act(await request.json()))
    except ValidationError as error:
        errors = [{"field": _name(entry["loc"]), "message": entry["msg"]} for entry in error.errors()]
        text = "; ".join(f"{entry['field']}: {entry['message']}" for entry in errors)
        return JSONResponse({"detail": text, "errors": errors}, 422)
    except ValueError as error:
        return JSONResponse({"detail": f"The body is not JSON: {error}", "errors": []}, 422)


def _name(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc if not isinstance(part, int)) or "(body)"
