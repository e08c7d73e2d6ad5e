"""Pictures: from words, and from pictures."""

from tasks.generation.from_pictures import ImageToImage, image_to_image
from tasks.generation.from_words import TextToImage, text_to_image
from tasks.generation.results import Pictures
from worker.jobs.picture_fields import Lora, Size

__all__ = ["ImageToImage", "Lora", "Pictures", "Size", "TextToImage", "image_to_image", "text_to_image"]
