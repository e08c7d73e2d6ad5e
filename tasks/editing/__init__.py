"""Changes to a picture. A module for each task, or for tasks that belong together."""

from tasks.editing.background import RemoveBackground, ReplaceBackground, remove_background, replace_background
from tasks.editing.erasing import Erase, erase
from tasks.editing.expansion import Expand, expand
from tasks.editing.inpainting import Inpaint, inpaint
from tasks.editing.results import Edited
from tasks.editing.trying_on import TryOn, try_on
from tasks.editing.upscaling import Upscale, upscale

__all__ = [
    "Edited", "Erase", "Expand", "Inpaint", "RemoveBackground", "ReplaceBackground", "TryOn", "Upscale", "erase",
    "expand", "inpaint", "remove_background", "replace_background", "try_on", "upscale",
]  # fmt: skip
