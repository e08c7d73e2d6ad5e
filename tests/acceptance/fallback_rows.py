"""The rows of `test_fallback`: what is asked, what goes wrong at fal and Google, and what comes of it."""

import base64
from dataclasses import dataclass, field
from typing import Any

from tests.unit.files.files import picture
from worker.errors import (
    AccountLockedError,
    AuthenticationError,
    BrokenPieceError,
    ContentRefusedError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
)

CUT = "cut"  # the queue of a worker with a ledger of its own, to which fal is a port where nobody listens
PICTURE, VIDEO = "generation.text_to_image", "video.image_to_video"
LORA = {"url": "https://example.com/mug.safetensors", "weight": 0.7}
ON_LORA = {"model": "flux-krea-lora", "loras": [LORA]}
FIRST_FRAME = f"data:image/png;base64,{base64.b64encode(picture('PNG', (640, 360))).decode()}"
POLICY = {"detail": [{"loc": ["body", "prompt"], "msg": "flagged", "type": "content_policy_violation"}]}
LOCKED = {"detail": "User is locked. Reason: Exhausted balance."}


def fal(status: int, body: Any = None, times: int = -1, **headers: str) -> dict[str, Any]:
    """fal refuses submissions in its own words: nothing was taken."""
    said = {"X-Fal-Error-Type": "internal_error", **headers} if status >= 500 else headers
    answer = {"status": status, "body": body or {"detail": "no"}, "headers": said}
    return {"provider": "fal", "call": "submit", "what": "http", "times": times, **answer}


def run(status: int, body: Any = None) -> dict[str, Any]:
    """fal takes submissions, and each run ends so."""
    return {"provider": "fal", "what": "error", "status": status, "body": body or {"detail": "no"}, "times": -1}


def google(what: str, times: int = -1, **more: Any) -> dict[str, Any]:
    return {"provider": "google", "what": what, "times": times, **more}


def film(model: str, **more: Any) -> dict[str, Any]:
    """A video that begins with a small picture."""
    return {"model": model, "image": FIRST_FRAME, "duration_s": 4, "aspect_ratio": "16:9", **more}


@dataclass(frozen=True)
class Row:
    """What is asked, what goes wrong, and what comes of it. `paid`: what each provider has taken and not given up.

    `cancels` are the calls to fal that ask it to stop (None: as often as it is seen in the queue), `given_up` the requests that it gave up for them.
    """

    faults: list[dict[str, Any]]
    asked: dict[str, Any]
    by: str | None = None  # who serves it; None: nobody
    equivalence: str = "exact"
    error: type[ExternalServiceError] | None = None
    says: tuple[str, ...] = ()  # in the error's words
    paid: dict[str, int] = field(default_factory=dict)
    tried: tuple[str | None, ...] = ()  # how each attempt ended
    told_otherwise: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    images: int = 1
    ratio: float = 1.0  # of width to height
    queue: str | None = None
    task: str = PICTURE
    pace: dict[str, float] = field(default_factory=dict)  # of the twin, where the usual one is too quick
    cancels: int | None = 0
    given_up: int = 0


SERVED = {
    "fal answers 500 three times: a close one serves": Row(
        [fal(500)],
        {},
        by="vertex",
        equivalence="close",
        paid={"google": 1},
        tried=("service_unavailable",) * 3 + (None,),
        ratio=0,
    ),
    "fal answers 503 once: it is waited for": Row(
        [fal(503, times=1)],
        {"image_size": "square"},
        by="fal",
        paid={"fal": 1},
        tried=("service_unavailable", None),
    ),
    "fal answers 503: the same model elsewhere is exact": Row(
        [fal(503)],
        {"model": "nano-banana-pro", "image_size": "square_hd", "seed": 7},
        by="vertex",
        paid={"google": 1},
        tried=("service_unavailable",) * 3 + (None,),
    ),
    "fal wants a minute: it is not waited for": Row(
        [fal(429, **{"Retry-After": "60"})],
        {"image_size": "landscape_16_9"},
        by="vertex",
        equivalence="close",
        paid={"google": 1},
        tried=("rate_limited", None),
        told_otherwise=("image_size",),
        ratio=16 / 9,
    ),
    "fal wants a second: it is waited for": Row(
        [fal(429, times=1, **{"Retry-After": "1"})],
        {"image_size": "square"},
        by="fal",
        paid={"fal": 1},
        tried=("rate_limited", None),
    ),
    "fal does not know the key": Row(
        [fal(401)],
        {"model": "nano-banana-pro", "image_size": "portrait_4_3"},
        by="vertex",
        paid={"google": 1},
        tried=("authentication", None),
        ratio=3 / 4,
    ),
    "fal has locked the account": Row(
        [fal(403, LOCKED)],
        {"num_images": 3},
        by="vertex",
        equivalence="close",
        paid={"google": 3},
        tried=("account_locked", None),
        images=3,
        ratio=0,
    ),
    "one of three pictures is missing, and marked": Row(
        [fal(401), google("no_image", times=1)],
        {"num_images": 3},
        by="vertex",
        equivalence="close",
        paid={"google": 3},
        tried=("authentication", None),
        images=2,
        ratio=0,
    ),
    "fal cannot be connected to": Row(
        [],
        {"image_size": "square_hd"},
        by="vertex",
        equivalence="close",
        paid={"google": 1},
        tried=("service_unavailable",) * 3 + (None,),
        told_otherwise=("image_size",),
        queue=CUT,
    ),
    "runs at fal fail twice: they are not billed, and a third is made elsewhere": Row(
        [run(500)],
        {},
        by="vertex",
        equivalence="close",
        paid={"fal": 2, "google": 1},
        tried=("service_unavailable",) * 2 + (None,),
        ratio=0,
    ),
    "a negative prompt is said in the prompt": Row(
        [fal(401)],
        {"model": "sdxl", "negative_prompt": "blur"},
        by="vertex",
        equivalence="close",
        paid={"google": 1},
        tried=("authentication", None),
        told_otherwise=("negative_prompt",),
        ratio=0,
    ),
    "LoRAs are dropped where the caller allows it": Row(
        [fal(403, LOCKED)],
        {**ON_LORA, "allow_degraded": True},
        by="vertex",
        equivalence="degraded",
        paid={"google": 1},
        tried=("account_locked", None),
        dropped=("loras",),
        ratio=0,
    ),
    "a seed is told to another model where the caller allows it": Row(
        [fal(401)],
        {"seed": 7, "allow_degraded": True},
        by="vertex",
        equivalence="degraded",
        paid={"google": 1},
        tried=("authentication", None),
        told_otherwise=("seed",),
        ratio=0,
    ),
    "refused content is shown to the next where the caller allows it": Row(
        [fal(422, POLICY)],
        {"fallback_on_policy": True},
        by="vertex",
        equivalence="close",
        paid={"google": 1},
        tried=("content_refused", None),
        ratio=0,
    ),
    "fal's queue is long: the job is cancelled there, and moved": Row(
        [],
        {"image_size": "square", "max_queue_s": 1},
        by="vertex",
        equivalence="close",
        paid={"google": 1},
        tried=("service_unavailable", None),
        told_otherwise=("image_size",),
        pace={"queue_seconds": 60},
        cancels=1,
        given_up=1,
    ),
    "fal's queue is long, and the cancel's answer is lost: it is moved once fal says that it was cancelled": Row(
        [{"provider": "fal", "call": "cancel", "what": "nginx", "status": 503}],
        {"image_size": "square", "max_queue_s": 1},
        by="vertex",
        equivalence="close",
        paid={"google": 1},
        tried=("request_refused", None),  # fal's own word for a run that was cancelled, a 499
        told_otherwise=("image_size",),
        pace={"queue_seconds": 60},
        cancels=2,  # a cancel is safe to repeat
        given_up=1,
    ),
    "fal's queue is long, and no answer to a cancel comes: it is moved once fal says that it was cancelled": Row(
        [{"provider": "fal", "call": "cancel", "what": "nginx", "status": 503, "times": 3}],
        {"image_size": "square", "max_queue_s": 1},
        by="vertex",
        equivalence="close",
        paid={"google": 1},
        tried=("request_refused", None),
        told_otherwise=("image_size",),
        pace={"queue_seconds": 60},
        cancels=3,
        given_up=1,
    ),
    "fal's queue is long, but the cancel does not take: it stays, and fal serves it": Row(
        [{"provider": "fal", "call": "cancel", "what": "ignored", "times": -1}],
        {"image_size": "square", "max_queue_s": 1},
        by="fal",
        paid={"fal": 1},
        tried=(None,),
        pace={"queue_seconds": 5},
        cancels=None,
    ),
    "fal's queue is long, but no other route may follow: it stays": Row(
        [],
        {"image_size": "square", "max_queue_s": 1, "seed": 7},
        by="fal",
        paid={"fal": 1},
        tried=(None,),
        pace={"queue_seconds": 3},
    ),
    "a video, and fal has locked the account: the same model of Vertex is exact": Row(
        [fal(403, LOCKED)],
        film("veo-3.1-lite"),
        by="vertex",
        paid={"google": 1},
        tried=("account_locked", None),
        ratio=16 / 9,
        task=VIDEO,
    ),
    "a video, and fal answers 503: a lighter model of Vertex is close": Row(
        [fal(503)],
        film("veo-3.1-fast", aspect_ratio="9:16"),
        by="vertex",
        equivalence="close",
        paid={"google": 1},
        tried=("service_unavailable",) * 3 + (None,),
        ratio=9 / 16,
        task=VIDEO,
    ),
    "a video from a text, and fal answers 503": Row(
        [fal(503)],
        {"model": "wan-2.7", "duration_s": 4, "aspect_ratio": "9:16"},
        by="vertex",
        equivalence="close",
        paid={"google": 1},
        tried=("service_unavailable",) * 3 + (None,),
        ratio=9 / 16,
        task="video.text_to_video",
    ),
    "a video, and fal cannot be connected to": Row(
        [],
        film("veo-3.1-lite"),
        by="vertex",
        paid={"google": 1},
        tried=("service_unavailable",) * 3 + (None,),
        ratio=16 / 9,
        queue=CUT,
        task=VIDEO,
    ),
    "a video in fal's long queue is moved, too": Row(
        [],
        film("veo-3.1-lite", max_queue_s=1),
        by="vertex",
        paid={"google": 1},
        tried=("service_unavailable", None),
        ratio=16 / 9,
        task=VIDEO,
        pace={"queue_seconds": 60},
        cancels=1,
        given_up=1,
    ),
    "Vertex first, as the caller wants it": Row(
        [],
        {"provider": "vertex"},
        by="vertex",
        equivalence="close",
        paid={"google": 1},
        tried=(None,),
        ratio=0,
    ),
    "Vertex first, and it answers 503": Row(
        [google("http", call="submit", status=503)],
        {"provider": "vertex", "image_size": "square"},
        by="fal",
        paid={"fal": 1},
        tried=("service_unavailable",) * 3 + (None,),
    ),
    "Vertex first, and it brings no picture": Row(
        [google("no_image")],
        {"providers": ["vertex", "fal"], "image_size": "square"},
        by="fal",
        paid={"google": 2, "fal": 1},
        tried=("broken_piece", "broken_piece", None),
    ),
    "Vertex brings no picture once, and then one": Row(
        [google("text_only", times=1)],
        {"providers": ["vertex"]},
        by="vertex",
        equivalence="close",
        paid={"google": 2},
        tried=("broken_piece", None),
        ratio=0,
    ),
}

FAILED = {
    "a refused request goes nowhere": Row([fal(422)], {}, error=RequestRefusedError),
    "an endpoint that fal does not have goes nowhere": Row([fal(404)], {}, error=RequestRefusedError),
    "refused content is not shown to the next": Row([fal(422, POLICY)], {}, error=ContentRefusedError),
    "a run that is refused for its content is not made again": Row(
        [run(422, POLICY)], {}, error=ContentRefusedError, paid={"fal": 1}
    ),
    "without fallback a wrong key is the end": Row(
        [fal(401)], {"fallback": False}, error=AuthenticationError, says=("fallback=false",)
    ),
    "fal alone is the end of it": Row([fal(403, LOCKED)], {"providers": ["fal"]}, error=AccountLockedError),
    "LoRAs are not dropped": Row(
        [run(500)],
        ON_LORA,
        error=ServiceUnavailableError,
        says=("fal:", "fallback refused: loras"),
        paid={"fal": 3},
    ),
    "a seed is not promised by another model": Row(
        [fal(401)], {"seed": 7}, error=AuthenticationError, says=("fallback refused: seed",)
    ),
    "a format that Vertex lacks": Row(
        [fal(401)],
        {"model": "nano-banana-pro", "output_format": "webp"},
        error=AuthenticationError,
        says=("fallback refused: output_format",),
    ),
    "a size that Vertex cannot draw is impossible, whatever is allowed": Row(
        [fal(401)],
        {"image_size": {"width": 2000, "height": 200}, "allow_degraded": True},
        error=AuthenticationError,
        says=("fallback refused: image_size",),
    ),
    "a video of a length that Veo does not make": Row(
        [fal(401)],
        film("seedance-2.0", duration_s=15, allow_degraded=True),
        error=AuthenticationError,
        says=("fallback refused: duration_s",),
        task=VIDEO,
    ),
    "nobody is well: the first error, and why the other failed": Row(
        [fal(401), google("http", call="submit", status=429, headers={"Retry-After": "600"})],
        {},
        error=AuthenticationError,
        says=("fal:", "vertex failed too"),
    ),
    "Vertex alone asks for too long a pause": Row(
        [google("http", call="submit", status=429, headers={"Retry-After": "600"})],
        {"providers": ["vertex"]},
        error=RateLimitError,
    ),
    "Vertex alone brings no picture": Row(
        [google("no_image")], {"providers": ["vertex"]}, error=BrokenPieceError, paid={"google": 2}
    ),
    "Vertex alone brings words": Row(
        [google("text_only")], {"providers": ["vertex"]}, error=BrokenPieceError, paid={"google": 2}
    ),
    "Vertex alone filters the picture": Row(
        [google("image_safety")], {"providers": ["vertex"]}, error=ContentRefusedError, paid={"google": 1}
    ),
    "Vertex blocks the prompt, and fal is not asked": Row(
        [google("blocked")], {"provider": "vertex"}, error=ContentRefusedError, paid={"google": 1}
    ),
}
