"""Writes a triangle as a glTF binary file: a header of twelve bytes, a chunk of JSON, a chunk of numbers.

Source: the glTF 2.0 specification, section 4 (registry.khronos.org/glTF/specs/2.0/glTF-2.0.html).
"""

import json
import struct

CORNERS = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
FLOAT, TRIANGLES = 5126, 4


def write_mesh(name: str) -> bytes:
    """Return the file; the name makes each one different."""
    numbers = struct.pack("<9f", *CORNERS)
    corners = {"bufferView": 0, "componentType": FLOAT, "count": 3, "type": "VEC3", "min": [0, 0, 0], "max": [1, 1, 0]}
    scene = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "mode": TRIANGLES}]}],
        "accessors": [corners],
        "bufferViews": [{"buffer": 0, "byteLength": len(numbers)}],
        "buffers": [{"byteLength": len(numbers)}],
    }
    text = json.dumps(scene).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(numbers), b"BIN\0") + numbers
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
