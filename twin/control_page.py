"""The HTML page at `/_twin/`: recent requests, their state and their files."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#222;background:#faf8f4}
h1{font-size:1.4rem}table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.5rem;border-bottom:1px solid #ddd;vertical-align:top}
code{font-size:.85em;color:#666}img,video{max-height:6rem;border-radius:4px}.COMPLETED{color:#287a3e}
.IN_PROGRESS{color:#b06a00}.failed{color:#b3261e}"""
EMPTY = "<tr><td colspan=4>Nothing yet. Submit something to <code>/queue/fal-ai/flux/schnell</code>.</td></tr>"


def render_page(records: Sequence[Mapping[str, Any]], accepted: int) -> str:
    """Return the page for these records, newest first."""
    rows = "".join(map(_row, records)) or EMPTY
    return (
        "<!doctype html><meta charset=utf-8><meta http-equiv=refresh content=3><title>twin</title>"
        f"<style>{STYLE}</style>"
        f"<h1>twin: {accepted} requests accepted</h1>"
        f"<table><tr><th>endpoint</th><th>state</th><th>prompt</th><th>files</th></tr>{rows}</table>"
    )


def find_files(value: Any) -> Iterator[Mapping[str, Any]]:
    """Walk an output and yield its file objects."""
    if isinstance(value, dict):
        if isinstance(value.get("url"), str):
            yield value
        for entry in value.values():
            yield from find_files(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from find_files(entry)


def find_text(value: Any) -> str:
    """Return the first prompt or text in an input, at any depth."""
    if isinstance(value, dict):
        text = next((value[name] for name in ("prompt", "text") if isinstance(value.get(name), str)), "")
        return text or next(filter(None, map(find_text, value.values())), "")
    return next(filter(None, map(find_text, value)), "") if isinstance(value, list) else ""


def _row(record: Mapping[str, Any]) -> str:
    status = record["http_status"]
    state = record["state"] if status in (None, 200) else f"failed, HTTP {status}"
    files = " ".join(_file(entry) for entry in find_files(record["output"]))
    prompt = find_text(record["input"])[:200]
    return (
        f"<tr><td>{escape(record['endpoint'])}<br><code>{record['request_id']}</code></td>"
        f"<td class='{escape(state.split(',')[0])}'>{escape(state)}</td><td>{escape(prompt)}</td><td>{files}</td></tr>"
    )


def _file(value: Mapping[str, Any]) -> str:
    url, kind = escape(value["url"], quote=True), str(value.get("content_type", ""))
    if kind.startswith("image/"):
        return f"<a href='{url}'><img src='{url}' loading=lazy alt=''></a>"
    if kind.startswith("video/"):
        return f"<video src='{url}' muted loop controls></video>"
    return f"<a href='{url}'>{escape(str(value.get('file_name', kind)))}</a>"
