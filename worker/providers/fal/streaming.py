"""fal's streamed endpoints: the answer comes in the call, and what happens until then is reported meanwhile.

A stream has no request id that could be asked for, so its provider lists nothing: a stream that broke is unknown, and
is not run again by itself. Endpoints are streamed at `fal.run`, without fal's queue. A `Run` reads what the events of
an endpoint mean: those of the Comfy server `comfy_run`, those of all others `stream_runs`.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import fal_client.client as sdk
import httpx
from pydantic import SecretStr

from config.keys.comfy import COMFY_ENDPOINT, ComfyAccess, find_comfy_access
from config.keys.fal import find_fal_key
from config.settings import FalSettings, Settings
from worker.errors import SubmitUnknownError
from worker.files.memory_budget import MemoryBudget
from worker.net.event_stream import StreamBrokenError, StreamLimits
from worker.net.http import open_downloads, open_transport
from worker.net.public import AddressPolicy
from worker.providers.base import Call, Provider, Reply, RunFailure, Running
from worker.providers.fal.answers import units_of
from worker.providers.fal.comfy_nodes import known_nodes, refuse_unknown
from worker.providers.fal.comfy_run import ComfyRun
from worker.providers.fal.hugging_face import Hidden, sign_links
from worker.providers.fal.in_call import FalInCall
from worker.providers.fal.provider import Fal, open_fal
from worker.providers.fal.stream import FalEvents, open_stream
from worker.providers.fal.stream_runs import LastEvent, WorkflowRun
from worker.providers.fal.submit_headers import submit_headers

NAME = "fal-stream"
SILENT_S = 120.0  # between two events; the connector waits as long
Listener = Callable[[str, Running], None]  # job id, and how far its call is


class Run(Protocol):
    """The events of one call, read as they come."""

    @property
    def is_over(self) -> bool:
        """Whether no event is needed any more."""

    @property
    def running(self) -> Running:
        """What is shown of it now."""

    def take(self, event: Mapping[str, Any]) -> None:
        """Read the next event."""

    def outcome(self, *, is_cut: bool) -> Reply | RunFailure | None:
        """What it came to, once the stream is over; None if it is not known. `is_cut`: the stream broke."""


def _run_of(call: Call) -> Run:
    """What reads the events of this call."""
    if call.endpoint == COMFY_ENDPOINT:
        return ComfyRun(call.arguments.get("prompt", {}))
    return WorkflowRun() if call.endpoint.startswith("workflows/") else LastEvent()


async def open_provider(settings: Settings, memory: MemoryBudget) -> Provider:
    """See `worker.providers.table`."""
    fal = await open_fal(settings.fal, find_fal_key(), open_transport(settings.worker.max_claims))
    return FalStream(fal, settings.fal, find_comfy_access(), open_downloads(8, policy=AddressPolicy([])))


class FalStream(FalInCall):
    """See `worker.providers.base.Provider`."""

    name = NAME

    def __init__(self, fal: Fal, settings: FalSettings, access: ComfyAccess, hub: httpx.AsyncClient) -> None:
        """`hub` asks huggingface.co. Both clients are closed with the provider."""
        super().__init__(fal, settings)
        self.listener: Listener | None = None
        self._hub, self._access = hub, access
        self._limits = StreamLimits(settings.fal_stream_s, min(SILENT_S, settings.fal_stream_s))
        self._nodes = known_nodes(settings.fal_comfy_nodes)

    async def submit(self, call: Call) -> Reply | RunFailure:
        """One POST, and its events to the end."""
        is_comfy = call.endpoint == COMFY_ENDPOINT
        endpoint = self._access.endpoint if is_comfy else call.endpoint
        if is_comfy and self._nodes is not None:
            refuse_unknown(call.arguments.get("prompt", {}), self._nodes)
        hidden = await self._hidden(self._access.hugging_face if is_comfy else None, call.arguments)
        run = _run_of(call)
        billed, broken = None, None
        try:
            async with asyncio.timeout(self._limits.total_s):
                headers = submit_headers(call, self._files_s)
                asked = (self._fal.http, _url(endpoint), hidden.put_into(call.arguments), headers, self._limits)
                async with open_stream(*asked, hide=hidden.out_of) as events:
                    billed = units_of(events.headers.get("x-fal-billable-units"))
                    await self._follow(call.job_id, run, events)
        except TimeoutError:
            broken = f"it took more than {self._limits.total_s:g} s"
        except StreamBrokenError as error:
            broken = str(error)
        return _ended(run, billed, endpoint, broken)

    async def _hidden(self, token: SecretStr | None, arguments: Mapping[str, Any]) -> Hidden:
        return Hidden() if token is None else await sign_links(self._hub, token, arguments)

    async def _follow(self, job_id: str, run: Run, stream: FalEvents) -> None:
        async for event in stream.events:
            run.take(event)
            if self.listener:
                self.listener(job_id, run.running)
            if run.is_over:
                return

    async def aclose(self) -> None:
        """Close connections."""
        await self._hub.aclose()
        await super().aclose()


def _url(endpoint: str) -> str:
    """The address of an endpoint's stream. An id that ends with it already keeps it."""
    return f"{sdk.RUN_URL_FORMAT}{endpoint.removesuffix('/stream')}/stream"


def _ended(run: Run, billed: float | None, endpoint: str, broken: str | None) -> Reply | RunFailure:
    match run.outcome(is_cut=broken is not None):
        case None:
            raise _lost(broken or "it ended before the run did")
        case RunFailure(error=error):
            return RunFailure(error, billed)
        case Reply(output=output):
            return Reply(output, billed, version=endpoint)


def _lost(why: str) -> SubmitUnknownError:
    text = f"fal: the stream was lost: {why}; the run may have gone on, and may be billed"
    return SubmitUnknownError(text, provider=NAME)
