"""Reads and writes safetensors files: eight bytes of header length, a JSON header, then the bytes of the tensors.

No tensor library is needed, because a LoRA of the twin has a few kilobytes.
"""

import json
import math
import random
import struct
from collections.abc import Mapping

MAX_HEADER = 16 * 1024 * 1024
BYTES_OF = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "I8": 1, "U8": 1, "I16": 2, "I32": 4, "I64": 8, "BOOL": 1}
TENSORS = {
    "transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": (4, 32),
    "transformer.single_transformer_blocks.0.attn.to_q.lora_B.weight": (32, 4),
    "transformer.single_transformer_blocks.0.attn.to_v.lora_A.weight": (4, 32),
    "transformer.single_transformer_blocks.0.attn.to_v.lora_B.weight": (32, 4),
}


class NotSafetensors(ValueError):
    """The bytes are not a safetensors file."""


def write_lora(metadata: Mapping[str, str], seed: int) -> bytes:
    """Return a small LoRA with this metadata and random weights; the same seed gives the same weights."""
    rng = random.Random(seed)
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    body = bytearray()
    for name, shape in TENSORS.items():
        count = math.prod(shape)
        start = len(body)
        body += struct.pack(f"<{count}e", *(rng.gauss(0, 0.02) for _ in range(count)))
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [start, len(body)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(body)


def read_metadata(data: bytes) -> dict[str, str]:
    """Check the whole file and return its metadata; raise NotSafetensors."""
    if len(data) < 8:
        raise NotSafetensors("the file is shorter than its header length")
    length = struct.unpack("<Q", data[:8])[0]
    if length > min(MAX_HEADER, len(data) - 8):
        raise NotSafetensors("the header is longer than the file")
    try:
        header = json.loads(data[8 : 8 + length])
        metadata = header.pop("__metadata__", {})
        for name, tensor in header.items():
            _check(name, tensor, len(data) - 8 - length)
        return {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotSafetensors(f"the header cannot be read: {error}") from error


def _check(name: str, tensor: Mapping[str, object], room: int) -> None:
    start, end = _extent(tensor)
    if not 0 <= start <= end <= room:
        raise NotSafetensors(f"{name} lies outside the file")
    shape = tensor["shape"]
    if not isinstance(shape, list) or end - start != math.prod(shape) * BYTES_OF.get(str(tensor["dtype"]), 1):
        raise NotSafetensors(f"the size of {name} does not match its shape")


def _extent(tensor: Mapping[str, object]) -> tuple[int, int]:
    offsets = tensor["data_offsets"]
    if not isinstance(offsets, list) or len(offsets) != 2:
        raise NotSafetensors("data_offsets must be two numbers")
    return int(offsets[0]), int(offsets[1])
