"""The kinds of nodes that a Comfy server has, where its operator has given us its list.

fal publishes no list for its Comfy server. A ComfyUI answers one at `GET /object_info`: an object with each kind of
node as a key. `KILNHAND_FAL_COMFY_NODES` names a file with such an answer.
"""

import difflib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from worker.errors import RequestRefusedError


def known_nodes(path: Path | None) -> frozenset[str] | None:
    """The names in the file; None without a file. Raises `ValueError`, which names the variable."""
    if path is None:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"KILNHAND_FAL_COMFY_NODES: {path} cannot be read ({type(error).__name__})") from error
    if not isinstance(found, dict | list) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"KILNHAND_FAL_COMFY_NODES: {path} is no answer of GET /object_info")
    return frozenset(found)


def refuse_unknown(nodes: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise `RequestRefusedError` for nodes that the server does not have, with similar ones that it has."""
    kinds = {node: str(found.get("class_type")) for node, found in nodes.items() if isinstance(found, Mapping)}
    unknown = {node: kind for node, kind in kinds.items() if kind not in known}
    lines = [f"workflow.{node}.class_type: {_unknown(kind, known)}" for node, kind in unknown.items()]
    if lines:
        text = "; ".join(lines[:20])
        raise RequestRefusedError(f"{text}; nothing was sent", kind="unknown_node")


def _unknown(kind: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(kind, known, n=3, cutoff=0.6)
    return f"the Comfy server has no node {kind[:100]!r}{'; similar: ' + ', '.join(near) if near else ''}"
