"""Video by Veo on Vertex AI: a long operation, polled by its name. The video comes inside its answer.

The name contains the region, so operations survive a change of `KILNHAND_GOOGLE_REGION`. An operation cannot be
cancelled.
"""

import re
from typing import Literal

from google.genai import types
from google.genai.client import AsyncClient
from pydantic import Field

from worker.errors import (
    BrokenPieceError,
    ContentRefusedError,
    ExternalServiceError,
    RequestRefusedError,
    ServiceUnavailableError,
)
from worker.files.memory_budget import MB
from worker.jobs.job import Ticket
from worker.providers.base import Call, CancelResult, Ended, Reply, RunFailure, Running, RunStatus
from worker.providers.google.content import Arguments, read_arguments
from worker.providers.google.errors import one_line, operation_error
from worker.providers.google.large_files import LargeFiles
from worker.providers.google.memory import VIDEO_MB
from worker.providers.google.safety import Safety
from worker.providers.google.sdk import GoogleSdk
from worker.providers.google.try_on import image_of

_NAME = re.compile(r"[A-Za-z0-9._~:@/-]{1,500}")
_LOCATION = re.compile(r"/locations/([a-z0-9-]+)/")


class VideoArguments(Arguments):
    """Arguments of a call for a video. `files[0]` of the call is its first frame."""

    prompt: str = Field(min_length=1)
    aspect_ratio: Literal["16:9", "9:16"] | None = None
    resolution: Literal["720p", "1080p", "4k"] | None = None
    duration_s: int | None = Field(None, ge=1)
    seed: int | None = Field(None, ge=0, lt=2**32)
    generate_audio: bool | None = None
    negative_prompt: str | None = None


async def start_video(sdk: GoogleSdk, call: Call, safety: Safety, region: str | None) -> Ticket:
    """One POST; the ticket is the operation's name."""
    asked = read_arguments(sdk.name, VideoArguments, call.arguments)
    if len(call.files) > 1:
        text = f"{sdk.name}: {call.endpoint} takes one file, its first frame; there are {len(call.files)}"
        raise RequestRefusedError(text, provider=sdk.name, kind="arguments")

    async def use(client: AsyncClient, large: LargeFiles) -> Ticket:
        operation = await client.models.generate_videos(
            model=call.endpoint,
            source=types.GenerateVideosSource(
                prompt=asked.prompt, image=image_of(call.files[0], large) if call.files else None
            ),
            config=_config(asked, safety),
        )
        if not operation.name or not _NAME.fullmatch(operation.name):
            raise ValueError("an operation without a name that can be asked for")
        return Ticket(operation.name)

    return await sdk.call(use, region, has_files=True)


async def poll_video(sdk: GoogleSdk, ticket: Ticket) -> RunStatus:
    """The status of an operation. Polling a finished one returns the whole video, so memory is reserved first."""
    reservation = await sdk.memory.take(VIDEO_MB * MB)
    if reservation is None:
        raise ServiceUnavailableError(f"{sdk.name}: no memory for an operation's answer now", provider=sdk.name)
    try:
        operation, _ = await _fetch(sdk, ticket)
    finally:
        reservation.give_back()
    return Ended() if operation.done else Running()


async def video_of(sdk: GoogleSdk, ticket: Ticket) -> Reply | RunFailure:
    """The video, or the error that the operation ended with. The caller has reserved the memory.

    Google bills the seconds that were asked for, and only if a video was made (the pricing pages of Vertex AI and of
    the Gemini API). The operation does not report them.
    """
    operation, large = await _fetch(sdk, ticket)
    if operation.error:
        return RunFailure(operation_error(sdk.name, operation.error), is_free=True)
    response = operation.response or types.GenerateVideosResponse()
    videos = [made.video for made in response.generated_videos or [] if made.video]
    files = tuple(large.original(video.video_bytes) for video in videos if video.video_bytes)
    if files:
        return Reply({"videos": len(files)}, files=files, billed_as_asked=True)
    return RunFailure(_refusal(sdk.name, response), is_free=True)


async def stop_video(sdk: GoogleSdk, ticket: Ticket) -> CancelResult:
    """Answer a cancel: an operation cannot be cancelled, so it has ended or goes on."""
    return CancelResult.TOO_LATE if isinstance(await poll_video(sdk, ticket), Ended) else CancelResult.ASKED


async def _fetch(sdk: GoogleSdk, ticket: Ticket) -> tuple[types.GenerateVideosOperation, LargeFiles]:
    location = _LOCATION.search(ticket.request_id)

    async def use(client: AsyncClient, large: LargeFiles) -> tuple[types.GenerateVideosOperation, LargeFiles]:
        asked = types.GenerateVideosOperation.model_validate({"name": ticket.request_id})
        found = await client.operations.get(asked)
        if found.name is None:
            raise ValueError("an operation without a name")
        return found, large

    return await sdk.call(use, location[1] if location else None, has_files=True)


def _config(asked: VideoArguments, safety: Safety) -> types.GenerateVideosConfig:
    return types.GenerateVideosConfig(
        number_of_videos=1,
        aspect_ratio=asked.aspect_ratio,
        resolution=asked.resolution,
        duration_seconds=asked.duration_s,
        seed=asked.seed,
        generate_audio=asked.generate_audio,
        negative_prompt=asked.negative_prompt,
        person_generation="allow_adult" if safety.people else None,
    )


def _refusal(provider: str, response: types.GenerateVideosResponse) -> ExternalServiceError:
    reasons = response.rai_media_filtered_reasons or []
    if reasons or response.rai_media_filtered_count:
        text = f"{provider}: {one_line('; '.join(reasons)) or 'the video was filtered'}"
        return ContentRefusedError(text, provider=provider, status=200, kind="rai_filtered")
    return BrokenPieceError(f"{provider}: no video came", provider=provider, status=200, kind="no_video")
