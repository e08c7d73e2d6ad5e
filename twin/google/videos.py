"""predictLongRunning and fetchPredictOperation: a video of Veo, as an operation that is asked for by its name."""

import asyncio
import base64
import hashlib
import json
from typing import Any, Literal

from pydantic import Field

from twin.calls import Answer, PaidCall
from twin.desk import Desk
from twin.draw import Picture, Style
from twin.files import Made
from twin.google.errors import GRPC_CODE, MESSAGES, STATUS, Refused, invalid
from twin.google.media import look_at_media
from twin.google.models import GoogleModel
from twin.google.pictures import notes_of
from twin.google.request import Media, People, Wire
from twin.script import Fault, What
from twin.sight import Seen, sheet
from twin.video import Video, video_size

RESPONSE = "type.googleapis.com/cloud.ai.large_models.vision.GenerateVideoResponse"
FILTERED = "The video was filtered, as it may violate our policies. Support codes: 29310472."
RATIOS = {"16:9": 16 / 9, "9:16": 9 / 16}


class Instance(Wire):
    """What the video is about."""

    prompt: str | None = None
    image: Media | None = None
    last_frame: Media | None = None
    video: Media | None = None
    reference_images: Any = None
    mask: Any = None


class Parameters(Wire):
    """How it is to be made."""

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


async def look_at_frames(desk: Desk, body: VideoRequest) -> tuple[Seen, ...]:
    """Look at the first and the last frame, where there are any; raise Refused."""
    instance = body.instances[0]
    if not (instance.prompt or instance.image or instance.video):
        raise invalid("A prompt, an image or a video is required.")
    frames = [(instance.image, "image"), (instance.last_frame, "last_frame")]
    return tuple([await look_at_media(desk, media, f"instances[0].{name}") for media, name in frames if media])


def film(desk: Desk, model: GoogleModel, body: VideoRequest, frames: tuple[Seen, ...], call: PaidCall) -> Answer:
    """Return what the operation will say when it is done; bytes are drawn and added when it is asked for."""
    asked = body.parameters
    head = {"name": call.order.request_id, "done": True}
    if call.fault and (spoilt := _spoilt(call.fault, head, asked.sample_count)):
        return spoilt
    videos = [_video(model, body, frames, call, index) for index in range(asked.sample_count)]
    paths = tuple(desk.files.put_made(video, model.name, "_video.mp4") for video in videos)
    views = [{"url": f"/cdn/{path}", "content_type": "video/mp4"} for path in paths]
    response = {"@type": RESPONSE, "raiMediaFilteredCount": 0}
    stored = {"videos": _stored(asked.storage_uri, paths)} if asked.storage_uri else {}
    seconds = asked.duration_seconds * asked.sample_count
    each = model.usd_each_by_resolution.get(asked.resolution, model.usd_each)
    return Answer(
        head | {"response": response | stored},
        head | {"response": response | {"videos": views}},
        units=float(seconds),
        usd=round(seconds * each, 6),
        files=paths,
    )


async def operation_of(desk: Desk, call: PaidCall | None, name: str) -> dict[str, Any]:
    """Return an operation as it stands; raise Refused when it is not known."""
    if call is None:
        raise Refused(404, f"The operation {name[:300]} was not found.")
    call.polls += 1
    if call.answer is None or not call.has_ended(desk.clock()):
        return {"name": name}
    operation: dict[str, Any] = call.answer.body
    if not call.answer.files or "videos" in operation["response"]:
        return operation
    videos = [await _bytes(desk, path) for path in call.answer.files]
    return operation | {"response": operation["response"] | {"videos": videos}}


def _spoilt(fault: Fault, head: dict[str, Any], count: int) -> Answer | None:
    status = fault.usual_status
    if fault.what is What.ERROR:
        error = {"code": GRPC_CODE.get(status, 2), "message": MESSAGES.get(status, "Ordered by the script")}
        failed = head | {"error": error if fault.body is None else fault.body}
        return Answer(failed, failed, status, STATUS.get(status, "UNKNOWN"))
    if fault.what not in (What.BLOCKED, What.IMAGE_SAFETY, What.NO_IMAGE):
        return None
    reasons = {} if fault.what is What.NO_IMAGE else {"raiMediaFilteredReasons": [FILTERED]}
    filtered = 0 if fault.what is What.NO_IMAGE else count
    done = head | {"response": {"@type": RESPONSE, "raiMediaFilteredCount": filtered, **reasons}}
    return Answer(done, done, error_type=fault.what.value)


def _stored(uri: str, paths: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return where the videos would lie in the caller's bucket, which the twin does not write to."""
    folder = hashlib.sha256("".join(paths).encode()).hexdigest()[:20]
    at = [f"{uri.rstrip('/')}/{folder}/sample_{index}.mp4" for index in range(len(paths))]
    return [{"gcsUri": address, "mimeType": "video/mp4"} for address in at]


async def _bytes(desk: Desk, path: str) -> dict[str, Any]:
    made = desk.files.find(path)
    if not isinstance(made, Made):
        raise Refused(404, "The operation's videos are forgotten.")
    data = await desk.files.draw(path, made)
    encoded = await asyncio.to_thread(base64.b64encode, data)
    return {"bytesBase64Encoded": encoded.decode(), "mimeType": "video/mp4"}


def _video(model: GoogleModel, body: VideoRequest, frames: tuple[Seen, ...], call: PaidCall, index: int) -> Video:
    asked = body.parameters
    prompt = body.instances[0].prompt or ""
    facts = json.dumps([prompt, asked.model_dump(exclude={"seed"}), [frame.digest for frame in frames]])
    scene = Picture(
        *video_size(RATIOS[asked.aspect_ratio]),
        format="png",
        model=model.name,
        prompt=prompt[:400],
        seed=call.seed,
        index=index,
        fingerprint=hashlib.sha256(facts.encode()).hexdigest()[:16],
        notes=notes_of(frames),
        style=Style.BLACK if call.is_hit_by(What.BLACK) else Style.SCENE,
        backdrop=sheet(frames),
    )
    return Video(scene, float(asked.duration_seconds))
