"""Answers predict, virtual try-on: from a person and a garment, one to four pictures of the person's size."""

import hashlib
from typing import Literal

from pydantic import Field

from twin.call_service import CallService
from twin.google.errors import invalid, scripted_error
from twin.google.input_pictures import read_media_picture
from twin.google.models import GoogleModel
from twin.google.pictures import SUFFIXES, inline_data, notes_of, recorded_picture
from twin.google.request import ImageOutputOptions, Media, People, Wire
from twin.input_picture import InputPicture, contact_sheet
from twin.paid_calls import Answer, PaidCall
from twin.picture import Picture, Style
from twin.script import Fault, FaultKind

FILTERED = "The response is blocked, as it may violate our policies. Support code: 42876398."
UNREAD_SIZE = (768, 1024)
"""Size of a try-on when the person's picture is at an address that the twin cannot read."""

TryOnPictures = tuple[InputPicture, InputPicture]
"""The person and the garment."""


class ImageHolder(Wire):
    """The object around a picture of a person or a product."""

    image: Media | None = None


class Instance(Wire):
    """A person and a garment."""

    person_image: ImageHolder
    product_images: tuple[ImageHolder, ...] = Field(min_length=1, max_length=1)
    prompt: str | None = None


class Parameters(Wire):
    """The options of a try-on."""

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
    """The body of predict."""

    instances: tuple[Instance, ...] = Field(min_length=1, max_length=1)
    parameters: Parameters = Parameters()
    labels: dict[str, str] | None = None


async def read_try_on_pictures(service: CallService, body: TryOnRequest) -> TryOnPictures:
    """Read the pictures of person and garment; raise Refused."""
    if body.parameters.seed is not None and body.parameters.add_watermark:
        raise invalid("Seed is not supported when watermark is enabled.")
    instance = body.instances[0]
    person, product = instance.person_image, instance.product_images[0]
    return (
        await read_media_picture(service, person.image, "instances[0].person_image.image"),
        await read_media_picture(service, product.image, "instances[0].product_images[0].image"),
    )


async def make_try_on(
    service: CallService,
    model: GoogleModel,
    body: TryOnRequest,
    pictures: TryOnPictures,
    call: PaidCall,
) -> Answer:
    """Return the pictures, or the answer that the script orders instead."""
    if call.fault and (answer := _fault_answer(call.fault)):
        return answer
    predictions, recorded, files = [], [], []
    for index in range(body.parameters.sample_count):
        picture = _picture(model, body, pictures, call, index)
        path, data = await service.draw(picture, model.name, SUFFIXES[picture.format])
        part = inline_data(picture, data)
        predictions.append({"mimeType": part["mimeType"], "bytesBase64Encoded": part["data"]})
        recorded.append(recorded_picture(picture, path))
        files.append(path)
    usd = round(len(files) * model.usd_each, 6)
    whole, recorded_body = {"predictions": predictions}, {"predictions": recorded}
    return Answer(whole, recorded_body, units=float(len(files)), usd=usd, files=tuple(files))


def _fault_answer(fault: Fault) -> Answer | None:
    if fault.what is FaultKind.ERROR:
        return scripted_error(fault)
    if fault.what not in (FaultKind.BLOCKED, FaultKind.IMAGE_SAFETY, FaultKind.NO_IMAGE):
        return None
    filtered = {"predictions": [] if fault.what is FaultKind.NO_IMAGE else [{"raiFilteredReason": FILTERED}]}
    return Answer(filtered, filtered, error_type=fault.what.value)


def _picture(model: GoogleModel, body: TryOnRequest, pictures: TryOnPictures, call: PaidCall, index: int) -> Picture:
    person, garment = pictures
    size = (person.width, person.height) if person.width else UNREAD_SIZE
    return Picture(
        *size,
        format=(body.parameters.output_options.mime_type or "image/png").removeprefix("image/"),
        model=model.name,
        prompt=body.instances[0].prompt or "The garment on the person",
        seed=call.seed,
        index=index,
        fingerprint=hashlib.sha256((person.digest + garment.digest).encode()).hexdigest()[:16],
        notes=notes_of(pictures),
        style=Style.BLACK if call.has_fault(FaultKind.BLACK) else Style.SCENE,
        backdrop=contact_sheet(pictures),
    )
