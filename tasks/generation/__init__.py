"""Pictures: from words, and from pictures."""

from tasks.generation.from_pictures import ImageToImage, image_to_image
from tasks.generation.from_words import TextToImage, text_to_image
from tasks.generation.results import Pictures

__all__ = ["ImageToImage", "Pictures", "TextToImage", "image_to_image", "text_to_image"]
