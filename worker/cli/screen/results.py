"""A result on the terminal: its files or its answer, who served it, and what differs from the request."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from config.catalogue import PIPELINE, is_pipeline
from config.control_signs import escape_line
from worker.jobs.status import JobResult


def files_in(result: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every file of a result, with its first name: `images.0`, `video`, `weights`."""
    seen = set[str]()
    for name, file in _named_files(result):
        if file["url"] not in seen:
            seen.add(file["url"])
            yield name, file


def _named_files(result: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, value in result.items():
        if name == "answer":  # what a provider said; that of any endpoint may have URLs
            continue
        if _is_file(value):
            yield name, value
        elif isinstance(value, list):
            yield from ((f"{name}.{number}", item) for number, item in enumerate(filter(_is_file, value)))


def _is_file(value: Any) -> bool:
    return isinstance(value, Mapping) and "url" in value


def values_in(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a task's result has beside its files and the fields that every result has."""
    files = {name.partition(".")[0] for name, _ in _named_files(result)}
    names = result.keys() - JobResult.model_fields.keys() - files
    return {name: value for name, value in result.items() if name in names and value not in (None, [])}


def show_result(console: Console, result: Mapping[str, Any]) -> None:
    """Print its files, and its answer or other values as JSON."""
    show_files(console, result)
    if values := values_in(result):
        shown = values["answer"] if [*values] == ["answer"] else values
        console.print(Text(json.dumps(shown, ensure_ascii=False, indent=2)), soft_wrap=True)


def show_files(console: Console, result: Mapping[str, Any], indent: str = "") -> None:
    """Print a description and the URL of each file."""
    for name, file in files_in(result):
        console.print(Text(f"{indent}{name}  {file_summary(file)}", style="dim"))
        show_url(console, file["url"], indent)


def show_url(console: Console, url: str, indent: str = "") -> None:
    """Print a URL on one line, without wrapping, clickable if the terminal supports links."""
    url = escape_line(url)  # a link's target is no text that the console escapes
    console.print(Text(indent) + Text(url, style=f"cyan link {url}"), soft_wrap=True)


def file_summary(file: Mapping[str, Any]) -> str:
    """A short description of a file: `1024×768 image/png, 84 kB`."""
    size = f"{file['width']}×{file['height']} " if file.get("width") else ""
    length = f", {file['duration_s']:g} s" if file.get("duration_s") else ""
    return f"{size}{file['content_type']}{length}, {_bytes(file['bytes'])}"


def show_summary(console: Console, result: Mapping[str, Any]) -> None:
    """Print the summary, then each difference from the request."""
    console.print(Text(summary(result), style="green"), soft_wrap=True)
    for name, text in differences(result).items():
        console.print(Text(f"{name}: {text}", style="yellow"), soft_wrap=True)


def served_by(result: Mapping[str, Any]) -> str:
    """Model and provider. A substitute shows its own model, the model asked for, and how close it is."""
    if is_pipeline(str(result.get("model"))):
        return model_text(str(result.get("model")))
    provenance = result.get("provenance") or {}
    equivalence, asked_for = provenance.get("equivalence", "exact"), provenance.get("asked_for")
    model = result.get("model") if equivalence == "exact" else provenance.get("model")
    instead = f" for {asked_for}" if asked_for not in {None, model} else ""
    return f"{model} by {result.get('provider')}{instead}{'' if equivalence == 'exact' else f' ({equivalence})'}"


def model_text(model: str) -> str:
    """The model as people read it. A task that is made of steps has none of its own."""
    return f"the steps of {model.removeprefix(PIPELINE)}" if is_pipeline(model) else model


def differences(result: Mapping[str, Any]) -> dict[str, str]:
    """Parameters that were dropped, parameters that were changed, and pieces that are missing."""
    provenance = result.get("provenance") or {}
    changed = (f"{name} ({how})" for name, how in (provenance.get("approximated") or {}).items())
    found = {
        "dropped": ", ".join(provenance.get("dropped") or ()),
        "approximated": ", ".join(changed),
        "missing": "; ".join(provenance.get("missing") or ()),
    }
    return {name: text for name, text in found.items() if text}


def summary(result: Mapping[str, Any]) -> str:
    """Who served it, how long it took, and what it cost."""
    timings, cost = result.get("timings") or {}, result.get("total_cost") or result.get("cost") or {}
    parts = [served_by(result)]
    if (total := timings.get("total_s")) is not None:
        parts.append(f"{total:.1f} s")
    if cost_part := money(cost):
        parts.append(cost_part)
    return ", ".join(parts)


def money(cost: Mapping[str, Any]) -> str:
    """A cost as short as possible: `$0.0060`, `$0.0030 to $0.0060`, `about $0.0060`. Empty if no price is known."""
    usd, lower, upper = cost.get("usd"), cost.get("lower_usd"), cost.get("upper_usd")
    if cost.get("estimated") and lower is not None and upper is not None and _usd(lower) != _usd(upper):
        return f"${_usd(lower)} to ${_usd(upper)}"
    if usd is None:
        return ""
    is_certain = not cost.get("estimated") or (lower is not None and lower == upper)
    return f"{'' if is_certain else 'about '}${_usd(usd)}"


def _usd(usd: float) -> str:
    """Four decimal places; six below 0.001 USD, where four would show zero or one digit."""
    return f"{usd:.4f}" if usd == 0 or usd >= 0.001 else f"{usd:.6f}"


def _bytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1_000_000 else f"{max(1, round(count / 1000))} kB"
