"""Pictures, from words and from pictures; and any endpoint with its own arguments."""

from tasks.generation.from_pictures import ImageToImage, image_to_image
from tasks.generation.from_words import TextToImage, text_to_image
from tasks.generation.results import Pictures
from tasks.generation.running import AnyResult, Run, run
from tasks.generation.workflows import Workflow, workflow
from worker.jobs.picture_fields import Lora, Size

__all__ = [
    "AnyResult", "ImageToImage", "Lora", "Pictures", "Run", "Size", "TextToImage", "Workflow",
    "image_to_image", "run", "text_to_image", "workflow",
]  # fmt: skip
