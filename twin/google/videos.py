"""Answers predictLongRunning and fetchPredictOperation: a Veo video, as an operation that callers poll by name."""

import asyncio
import base64
import hashlib
import json
from typing import Any, Literal

from pydantic import Field

from twin.call_service import CallService
from twin.file_store import GeneratedFile
from twin.google.errors import GRPC_CODE, MESSAGES, STATUS, Refused, invalid
from twin.google.input_pictures import read_media_picture
from twin.google.models import GoogleModel
from twin.google.pictures import notes_of
from twin.google.request import Media, People, Wire
from twin.input_picture import InputPicture, contact_sheet
from twin.paid_calls import Answer, PaidCall
from twin.picture import Picture, Style
from twin.script import Fault, FaultKind
from twin.video import Video, video_size

RESPONSE = "type.googleapis.com/cloud.ai.large_models.vision.GenerateVideoResponse"
FILTERED = "The video was filtered, as it may violate our policies. Support codes: 29310472."
RATIOS = {"16:9": 16 / 9, "9:16": 9 / 16}

Frames = tuple[InputPicture, ...]


class Instance(Wire):
    """The prompt and the pictures of a video."""

    prompt: str | None = None
    image: Media | None = None
    last_frame: Media | None = None
    video: Media | None = None
    reference_images: Any = None
    mask: Any = None


class Parameters(Wire):
    """The options of a video."""

    sample_count: int = Field(default=1, ge=1, le=4)
    storage_uri: str | None = Field(default=None, pattern="^gs://")
    duration_seconds: Literal[4, 6, 8] = 8
    seed: int | None = Field(default=None, ge=0, lt=2**32)
    aspect_ratio: Literal["16:9", "9:16"] = "16:9"
    resolution: Literal["720p", "1080p"] = "720p"
    person_generation: People | None = None
    negative_prompt: str | None = None
    generate_audio: bool | None = None
    enhance_prompt: bool | None = None
    fps: int | None = None
    pubsub_topic: str | None = None
    compression_quality: Any = None
    resize_mode: Any = None


class VideoRequest(Wire):
    """The body of predictLongRunning."""

    instances: tuple[Instance, ...] = Field(min_length=1, max_length=1)
    parameters: Parameters = Parameters()
    labels: dict[str, str] | None = None


class FetchRequest(Wire):
    """The body of fetchPredictOperation."""

    operation_name: str


async def read_frames(service: CallService, body: VideoRequest) -> Frames:
    """Read the first and the last frame, if the request has them; raise Refused."""
    instance = body.instances[0]
    if not (instance.prompt or instance.image or instance.video):
        raise invalid("A prompt, an image or a video is required.")
    frames = [(instance.image, "image"), (instance.last_frame, "last_frame")]
    return tuple([await read_media_picture(service, media, f"instances[0].{name}") for media, name in frames if media])


def make_video(service: CallService, model: GoogleModel, body: VideoRequest, frames: Frames, call: PaidCall) -> Answer:
    """Return the answer of the finished operation; `read_operation` draws and adds the bytes."""
    parameters = body.parameters
    head = {"name": call.details.request_id, "done": True}
    if call.fault and (answer := _fault_answer(call.fault, head, parameters.sample_count)):
        return answer
    videos = [_video(model, body, frames, call, index) for index in range(parameters.sample_count)]
    paths = tuple(service.files.add_generated(video, model.name, "_video.mp4") for video in videos)
    recorded = [{"url": f"/cdn/{path}", "content_type": "video/mp4"} for path in paths]
    response = {"@type": RESPONSE, "raiMediaFilteredCount": 0}
    stored = {"videos": _stored(parameters.storage_uri, paths)} if parameters.storage_uri else {}
    seconds = parameters.duration_seconds * parameters.sample_count
    each = model.usd_each_by_resolution.get(parameters.resolution, model.usd_each)
    return Answer(
        head | {"response": response | stored},
        head | {"response": response | {"videos": recorded}},
        units=float(seconds),
        usd=round(seconds * each, 6),
        files=paths,
    )


async def read_operation(service: CallService, call: PaidCall | None, name: str) -> dict[str, Any]:
    """Return the current state of an operation; raise Refused if it is unknown."""
    if call is None:
        raise Refused(404, f"The operation {name[:300]} was not found.")
    call.polls += 1
    if call.answer is None or not call.has_ended(service.clock()):
        return {"name": name}
    operation: dict[str, Any] = call.answer.body
    if not call.answer.files or "videos" in operation["response"]:
        return operation
    videos = [await _bytes(service, path) for path in call.answer.files]
    return operation | {"response": operation["response"] | {"videos": videos}}


def _fault_answer(fault: Fault, head: dict[str, Any], count: int) -> Answer | None:
    status = fault.response_status
    if fault.what is FaultKind.ERROR:
        error = {"code": GRPC_CODE.get(status, 2), "message": MESSAGES.get(status, "Ordered by the script")}
        failed = head | {"error": error if fault.body is None else fault.body}
        return Answer(failed, failed, status, STATUS.get(status, "UNKNOWN"))
    if fault.what not in (FaultKind.BLOCKED, FaultKind.IMAGE_SAFETY, FaultKind.NO_IMAGE):
        return None
    reasons = {} if fault.what is FaultKind.NO_IMAGE else {"raiMediaFilteredReasons": [FILTERED]}
    filtered = 0 if fault.what is FaultKind.NO_IMAGE else count
    done = head | {"response": {"@type": RESPONSE, "raiMediaFilteredCount": filtered, **reasons}}
    return Answer(done, done, error_type=fault.what.value)


def _stored(uri: str, paths: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the URIs that the videos would have in the caller's bucket; the twin does not write to it."""
    folder = hashlib.sha256("".join(paths).encode()).hexdigest()[:20]
    at = [f"{uri.rstrip('/')}/{folder}/sample_{index}.mp4" for index in range(len(paths))]
    return [{"gcsUri": address, "mimeType": "video/mp4"} for address in at]


async def _bytes(service: CallService, path: str) -> dict[str, Any]:
    generated = service.files.find(path)
    if not isinstance(generated, GeneratedFile):
        raise Refused(404, "The operation's videos are forgotten.")
    data = await service.files.draw(path, generated)
    encoded = await asyncio.to_thread(base64.b64encode, data)
    return {"bytesBase64Encoded": encoded.decode(), "mimeType": "video/mp4"}


def _video(model: GoogleModel, body: VideoRequest, frames: Frames, call: PaidCall, index: int) -> Video:
    parameters = body.parameters
    prompt = body.instances[0].prompt or ""
    facts = json.dumps([prompt, parameters.model_dump(exclude={"seed"}), [frame.digest for frame in frames]])
    scene = Picture(
        *video_size(RATIOS[parameters.aspect_ratio]),
        format="png",
        model=model.name,
        prompt=prompt[:400],
        seed=call.seed,
        index=index,
        fingerprint=hashlib.sha256(facts.encode()).hexdigest()[:16],
        notes=notes_of(frames),
        style=Style.BLACK if call.has_fault(FaultKind.BLACK) else Style.SCENE,
        backdrop=contact_sheet(frames),
    )
    return Video(scene, float(parameters.duration_seconds), has_sound=bool(parameters.generate_audio))
