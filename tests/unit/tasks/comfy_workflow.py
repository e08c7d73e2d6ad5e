"""A workflow as ComfyUI exports it in API format, with the connector's input nodes."""

from typing import Any


def workflow(**changed: Any) -> dict[str, Any]:
    """Words and a picture, a sampler, and a saving node; `changed` are nodes by id (`n7=…`), None takes one out."""
    nodes: dict[str, Any] = {
        "1": {
            "class_type": "RemoteCheckpointLoader_fal",
            "inputs": {"ckpt_url": "https://example.com/model.safetensors"},
        },
        "2": {"class_type": "StringInput_fal", "inputs": {"name": "prompt", "value": "a kiln"}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": ["2", 0], "clip": ["1", 1]}},
        "4": {
            "class_type": "IntegerInput_fal",
            "inputs": {"name": "steps", "number": 20, "min": 4, "max": 60, "step": 4},
        },
        "5": {
            "class_type": "FloatInput_fal",
            "inputs": {"name": "cfg", "number": 7.5, "min": 0, "max": 20, "step": 0.1},
        },
        "6": {"class_type": "BooleanInput_fal", "inputs": {"name": "tiled", "value": False}},
        "7": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 384, "batch_size": 1}},
        "8": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["1", 0],
                "positive": ["3", 0],
                "latent_image": ["7", 0],
                "steps": ["4", 0],
                "cfg": ["5", 0],
            },
        },
        "9": {"class_type": "VAEDecode", "inputs": {"samples": ["8", 0], "vae": ["1", 2], "tiled": ["6", 0]}},
        "10": {
            "class_type": "SaveImage_fal",
            "inputs": {"images": ["9", 0], "filename_prefix": "ComfyUI", "output_name": "final"},
            "_meta": {"title": "Save"},
        },
    }
    nodes |= {name.removeprefix("n"): node for name, node in changed.items()}
    return {node: found for node, found in nodes.items() if found is not None}


LOAD = {"class_type": "LoadImage", "inputs": {"image": "photo.png", "upload": "image"}}
