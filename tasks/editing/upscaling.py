"""A picture in more pixels."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from config.catalogue import Model
from tasks.editing.results import Edited
from worker.edge.task import job_task
from worker.errors import RequestRefusedError
from worker.files.file_checks import Prepared
from worker.files.media import Media
from worker.jobs.file_refs import Image
from worker.jobs.job import Piece, Step
from worker.jobs.picture_fields import ModelName, NegativePrompt, OutputFormat, Prompt, Seed
from worker.jobs.request import BaseRequest

MOST_MEGAPIXELS = 100  # of the result: workers decode up to KILNHAND_MAX_MEGAPIXELS, by default 120
DEFAULT_FACTOR = 2.0


class Upscale(BaseRequest):
    """A picture, `factor` times as wide and as high.

    `prompt`, `creativity` and `resemblance` are for models that draw details anew; `enhance_faces` for those that treat
    faces apart. `variant`: the weights, for models that have several.
    """

    model: ModelName = "seedvr-upscale"
    image: Image
    factor: float = Field(DEFAULT_FACTOR, ge=1, le=10)
    prompt: Prompt | None = None
    negative_prompt: NegativePrompt | None = None
    creativity: float | None = Field(None, ge=0, le=1)
    resemblance: float | None = Field(None, ge=0, le=3)
    enhance_faces: bool | None = None
    variant: Annotated[str, StringConstraints(max_length=100)] | None = None
    num_inference_steps: int | None = Field(None, ge=1, le=150)
    guidance_scale: float | None = Field(None, ge=0, le=35)
    seed: Seed | None = None
    output_format: OutputFormat | None = None

    follows: ClassVar[Mapping[str, str]] = {"image": "images.0.url"}


class UpscaleCheck:
    """Knows the size of the result from that of the picture. See `worker.files.file_checks`."""

    def looks_at(self, request: Mapping[str, Any]) -> tuple[str, ...]:
        """The picture."""
        return ("image",)

    def prepare(self, request: Mapping[str, Any], step: Step, files: Mapping[str, Media]) -> Prepared:
        """Send the picture upright, and promise the exact size. Refuses more pixels than are decoded here."""
        from worker.files.upright import turned_upright, upright_size  # it imports Pillow, which producers do without

        width, height = upright_size(files["image"])
        factor = float(request.get("factor", DEFAULT_FACTOR))
        wide, high = round(width * factor), round(height * factor)
        if wide * high > MOST_MEGAPIXELS * 1_000_000:
            most = (MOST_MEGAPIXELS * 1_000_000 / (width * height)) ** 0.5
            raise RequestRefusedError(
                f"factor: {factor:g} makes {wide}x{high} pixels of this picture of {width}x{height}; "
                f"allowed: up to {MOST_MEGAPIXELS} megapixels, here a factor of {int(most * 100) / 100:g}",
                kind="too_large",
            )
        pieces = tuple(replace(piece, width=wide, height=high) for piece in step.pieces)
        turned = turned_upright(files["image"])
        return Prepared(replace(step, pieces=pieces), {"image": turned} if turned else {})


@job_task("editing.upscale", queue="editing", asks=Upscale, gives=Edited, files=UpscaleCheck())
def upscale(request: Upscale, model: Model) -> Step:
    """Enlarge a picture. The result has exactly the size that the factor gives, within the rounding of models."""
    arguments = request.as_arguments()
    if model.passthrough and "factor" not in request.model_fields_set:
        del arguments["factor"]  # about an endpoint that is not in the catalogue nothing is assumed
    larger = Piece("images", "image", "images.*", most_megapixels=MOST_MEGAPIXELS)
    return Step(model.name, arguments, (larger,), request.extra)
