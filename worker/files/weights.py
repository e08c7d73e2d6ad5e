"""Whether a file is whole safetensors weights, by its header alone: no tensor is read, no torch is needed.

Layout (https://github.com/huggingface/safetensors#format): 8 bytes little-endian length of the header, a JSON header
that gives each tensor's offsets, the data. The data must be covered exactly, so a file that was cut short shows.
"""

import json
import os
from typing import Any, BinaryIO

from pydantic import BaseModel, Field, ValidationError

from worker.files.file_info import DefectError, FileInfo
from worker.files.formats import Format

_LONGEST_HEADER = 16_000_000  # bytes; safetensors itself allows 100 MB, which take 2 GB when they are parsed


class _Tensor(BaseModel):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int] = Field(min_length=2)


def see_weights(file: BinaryIO, form: Format) -> FileInfo:
    """Raises `DefectError` when the header does not describe exactly the bytes that follow it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or not 2 <= length <= min(_LONGEST_HEADER, size - 8):
        raise DefectError("has no safetensors header")
    tensors = _tensors(file.read(length))
    end = 0
    for first, last in sorted(tensor.data_offsets for tensor in tensors):
        if first != end or last < first:
            raise DefectError("has tensors that overlap or leave a gap")
        end = last
    if not tensors or end != size - 8 - length:
        raise DefectError(f"its header describes {end} bytes of tensors, {size - 8 - length} follow")
    return FileInfo(form)


def _tensors(header: bytes) -> list[_Tensor]:
    try:
        fields: Any = json.loads(header)
        return [_Tensor.model_validate(value) for name, value in fields.items() if name != "__metadata__"]
    except (ValueError, AttributeError, RecursionError, ValidationError) as error:
        raise DefectError("has a safetensors header that is not valid") from error
