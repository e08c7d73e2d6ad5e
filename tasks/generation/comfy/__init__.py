"""ComfyUI workflows on fal's Comfy server."""

from tasks.generation.comfy.request import Comfy, NodeFile
from tasks.generation.comfy.result import Comfied, NodeOutput
from tasks.generation.comfy.task import comfy

__all__ = ["Comfied", "Comfy", "NodeFile", "NodeOutput", "comfy"]
