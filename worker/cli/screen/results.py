"""A result for a person: its files, each URL whole on a line of its own, or its answer; who served it, and how."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text


def files_in(result: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every file of a result with its name: `images.0`, `video`, `weights`."""
    for name, value in result.items():
        if isinstance(value, Mapping) and "url" in value:
            yield name, value
        elif isinstance(value, list):
            found = [item for item in value if isinstance(item, Mapping) and "url" in item]
            yield from ((f"{name}.{number}", item) for number, item in enumerate(found))


def show_result(console: Console, result: Mapping[str, Any]) -> None:
    """Its files; of a task without files the answer, as JSON."""
    show_files(console, result)
    if isinstance(result.get("answer"), Mapping):
        console.print(Text(json.dumps(result["answer"], ensure_ascii=False, indent=2)), soft_wrap=True)


def show_files(console: Console, result: Mapping[str, Any], indent: str = "") -> None:
    """Each file: what it is, then its URL, never broken over lines."""
    for name, file in files_in(result):
        console.print(Text(f"{indent}{name}  {describe(file)}", style="dim"))
        show_url(console, file["url"], indent)


def show_url(console: Console, url: str, indent: str = "") -> None:
    """A URL in full, clickable where the terminal can."""
    console.print(Text(indent) + Text(url, style=f"cyan link {url}"), soft_wrap=True)


def describe(file: Mapping[str, Any]) -> str:
    """A file in a few words: `1024×768 image/png, 84 kB`."""
    size = f"{file['width']}×{file['height']} " if file.get("width") else ""
    length = f", {file['duration_s']:g} s" if file.get("duration_s") else ""
    return f"{size}{file['content_type']}{length}, {_bytes(file['bytes'])}"


def show_served(console: Console, result: Mapping[str, Any]) -> None:
    """Who served it and what that took; then what was not done as it was asked."""
    console.print(Text(took(result), style="green"), soft_wrap=True)
    for name, text in lost(result).items():
        console.print(Text(f"{name}: {text}", style="yellow"), soft_wrap=True)


def served(result: Mapping[str, Any]) -> str:
    """Who served it; what was not just what was asked for comes under its own name, with how near that is."""
    provenance = result.get("provenance") or {}
    equivalence, asked_for = provenance.get("equivalence", "exact"), provenance.get("asked_for")
    model = result.get("model") if equivalence == "exact" else provenance.get("model")
    wish = f" for {asked_for}" if asked_for not in {None, model} else ""
    return f"{model} by {result.get('provider')}{wish}{'' if equivalence == 'exact' else f' ({equivalence})'}"


def lost(result: Mapping[str, Any]) -> dict[str, str]:
    """What was not told to who served it, what was told otherwise, and what did not come."""
    provenance = result.get("provenance") or {}
    otherwise = (f"{name} ({how})" for name, how in (provenance.get("approximated") or {}).items())
    found = {
        "dropped": ", ".join(provenance.get("dropped") or ()),
        "approximated": ", ".join(otherwise),
        "missing": "; ".join(provenance.get("missing") or ()),
    }
    return {name: text for name, text in found.items() if text}


def took(result: Mapping[str, Any]) -> str:
    """Who served it, in how long, for how much."""
    timings, cost = result.get("timings") or {}, result.get("cost") or {}
    parts = [served(result)]
    if (total := timings.get("total_s")) is not None:
        parts.append(f"{total:.1f} s")
    if cost.get("usd") is not None:
        parts.append(f"{'about ' if cost.get('estimated') else ''}${_usd(cost['usd'])}")
    return ", ".join(parts)


def _usd(usd: float) -> str:
    """Four places, and for what is less than a cent's tenth as many as say something."""
    return f"{usd:.4f}" if usd == 0 or usd >= 0.001 else f"{usd:.6f}"


def _bytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1_000_000 else f"{max(1, round(count / 1000))} kB"
