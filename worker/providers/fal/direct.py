"""fal's direct calls: one POST to `fal.run`, whose answer is the output. https://fal.ai/docs/model-apis/inference/synchronous

They save the queue's polls, for endpoints that answer in a second or two. fal does not repeat such a run after a
failure of its own, and one whose connection breaks is billed and lost.
"""

import fal_client.client as sdk
import httpx

from config.keys.fal import find_fal_key
from config.settings import FalSettings, Settings
from worker.errors import BrokenPieceError, SubmitUnknownError
from worker.files.memory_budget import MemoryBudget
from worker.net.http import open_transport
from worker.providers.base import Call, Provider, Reply, RunFailure
from worker.providers.fal.answers import as_object, has_files, json_of, output_of, seconds_of, units_of
from worker.providers.fal.errors import fal_error
from worker.providers.fal.guard import STREAMED
from worker.providers.fal.in_call import FalInCall
from worker.providers.fal.provider import Fal, open_fal
from worker.providers.fal.stream import CONNECT_S, body_of
from worker.providers.fal.submit_headers import submit_headers

NAME = "fal-direct"
REQUEST_ID = "x-fal-request-id"


async def open_provider(settings: Settings, memory: MemoryBudget) -> Provider:
    """See `worker.providers.table`."""
    fal = await open_fal(settings.fal, find_fal_key(), open_transport(settings.worker.max_claims))
    return FalDirect(fal, settings.fal)


class FalDirect(FalInCall):
    """See `worker.providers.base.Provider`."""

    name = NAME

    def __init__(self, fal: Fal, settings: FalSettings) -> None:
        super().__init__(fal, settings)
        self._total_s = settings.fal_stream_s

    async def submit(self, call: Call) -> Reply | RunFailure:
        """One POST, and its answer."""
        response = await self._fal.http.post(
            f"{sdk.RUN_URL_FORMAT}{call.endpoint}",
            content=body_of(call.arguments),
            headers={**submit_headers(call, self._files_s), "content-type": "application/json"},
            timeout=httpx.Timeout(self._total_s, connect=CONNECT_S),
            extensions={STREAMED: self._total_s},
            follow_redirects=False,
        )
        return _outcome(response, call.endpoint)


def _outcome(response: httpx.Response, endpoint: str) -> Reply | RunFailure:
    """What the run came to. An error without the id of a request was refused before it ran, and is raised."""
    billed = response.headers.get("x-fal-billable-units")
    units = units_of(billed)
    if response.status_code >= 400:
        error = fal_error(response.status_code, json_of(response), response.headers)
        if REQUEST_ID not in response.headers or response.status_code in {401, 403, 404}:
            raise error
        return RunFailure(error, units, is_free=not billed and response.status_code >= 500)
    if response.status_code >= 300:
        raise SubmitUnknownError(f"fal: HTTP {response.status_code} to a direct call", provider=NAME)
    found, is_json = output_of(response)
    output = as_object(found)
    if not is_json or not has_files(found):
        error = BrokenPieceError("fal: the result is not a JSON object", provider="fal")
        return RunFailure(error, units, output=output)
    took_s = seconds_of(output.get("timings"), "inference")
    return Reply(output, units, version=endpoint, inference_s=took_s)
