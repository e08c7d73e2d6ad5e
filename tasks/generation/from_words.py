"""Pictures from a prompt."""

from typing import ClassVar

from config.catalogue import Model
from tasks.generation.requests import PictureRequest, pictures_step
from tasks.generation.results import Pictures
from worker.edge.task import job_task
from worker.jobs.job import Step
from worker.jobs.picture_fields import ModelName


class TextToImage(PictureRequest):
    """Pictures from a prompt."""

    model: ModelName = "flux-schnell"

    model_with_loras: ClassVar[str] = "flux-lora"


@job_task("generation.text_to_image", queue="generation", asks=TextToImage, gives=Pictures)
def text_to_image(request: TextToImage, model: Model) -> Step:
    """Make one to four pictures from a prompt, with up to four LoRAs."""
    return pictures_step(request, model)
