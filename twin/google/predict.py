"""predict: virtual try-on, a person and a garment in, one to four pictures out, as large as the person's."""

import hashlib
from typing import Literal

from pydantic import Field

from twin.calls import Answer, PaidCall
from twin.desk import Desk
from twin.draw import Picture, Style
from twin.google.errors import invalid, ordered_error
from twin.google.media import look_at_media
from twin.google.models import GoogleModel
from twin.google.pictures import TAILS, inline, notes_of, shown
from twin.google.request import ImageOutputOptions, Media, People, Wire
from twin.script import Fault, What
from twin.sight import Seen, sheet

FILTERED = "The response is blocked, as it may violate our policies. Support code: 42876398."
UNREAD_SIZE = (768, 1024)


class Holder(Wire):
    """A picture of a person or a product."""

    image: Media | None = None


class Instance(Wire):
    """Who wears what."""

    person_image: Holder
    product_images: tuple[Holder, ...] = Field(min_length=1, max_length=1)
    prompt: str | None = None


class Parameters(Wire):
    """How it is to be made."""

    sample_count: int = Field(default=1, ge=1, le=4)
    base_steps: int | None = Field(default=None, ge=1, le=100)
    seed: int | None = Field(default=None, ge=0, lt=2**32)
    safety_setting: Literal["BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE"] | None = (
        None
    )
    person_generation: People | None = None
    add_watermark: bool = True
    output_options: ImageOutputOptions = ImageOutputOptions()
    storage_uri: str | None = None
    enhance_prompt: bool | None = None


class TryOnRequest(Wire):
    """The body."""

    instances: tuple[Instance, ...] = Field(min_length=1, max_length=1)
    parameters: Parameters = Parameters()
    labels: dict[str, str] | None = None


async def look_at_try_on(desk: Desk, body: TryOnRequest) -> tuple[Seen, Seen]:
    """Look at person and garment; raise Refused."""
    if body.parameters.seed is not None and body.parameters.add_watermark:
        raise invalid("Seed is not supported when watermark is enabled.")
    instance = body.instances[0]
    person = await look_at_media(desk, instance.person_image.image, "instances[0].person_image.image")
    garment = await look_at_media(desk, instance.product_images[0].image, "instances[0].product_images[0].image")
    return person, garment


async def try_on(desk: Desk, model: GoogleModel, body: TryOnRequest, seen: tuple[Seen, Seen], call: PaidCall) -> Answer:
    """Return the pictures, or what the script ordered in their place."""
    if call.fault and (spoilt := _spoilt(call.fault)):
        return spoilt
    predictions, views, files = [], [], []
    for index in range(body.parameters.sample_count):
        picture = _picture(model, body, seen, call, index)
        path, data = await desk.draw(picture, model.name, TAILS[picture.format])
        part = inline(picture, data)
        predictions.append({"mimeType": part["mimeType"], "bytesBase64Encoded": part["data"]})
        views.append(shown(picture, path))
        files.append(path)
    usd = round(len(files) * model.usd_each, 6)
    whole, view = {"predictions": predictions}, {"predictions": views}
    return Answer(whole, view, units=float(len(files)), usd=usd, files=tuple(files))


def _spoilt(fault: Fault) -> Answer | None:
    if fault.what is What.ERROR:
        return ordered_error(fault)
    if fault.what not in (What.BLOCKED, What.IMAGE_SAFETY, What.NO_IMAGE):
        return None
    filtered = {"predictions": [] if fault.what is What.NO_IMAGE else [{"raiFilteredReason": FILTERED}]}
    return Answer(filtered, filtered, error_type=fault.what.value)


def _picture(model: GoogleModel, body: TryOnRequest, seen: tuple[Seen, Seen], call: PaidCall, index: int) -> Picture:
    person, garment = seen
    size = (person.width, person.height) if person.width else UNREAD_SIZE
    return Picture(
        *size,
        format=(body.parameters.output_options.mime_type or "image/png").removeprefix("image/"),
        model=model.name,
        prompt=body.instances[0].prompt or "The garment on the person",
        seed=call.seed,
        index=index,
        fingerprint=hashlib.sha256((person.digest + garment.digest).encode()).hexdigest()[:16],
        notes=notes_of(seen),
        style=Style.BLACK if call.is_hit_by(What.BLACK) else Style.SCENE,
        backdrop=sheet(seen),
    )
