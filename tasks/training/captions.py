"""Which caption belongs to which picture. Pure."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from worker.files.formats import by_ending
from worker.jobs.file_keys import uploaded_key, uploaded_name


def name_of(ref: str, n: int) -> str:
    """What callers call the n-th picture of a list: the name of their file, or of the one in the URL or key.

    It is `images.<n>` for a data: URI, which has no name.
    """
    if own := uploaded_name(ref):
        return own
    name = "" if ref[:5].lower() == "data:" else PurePosixPath(unquote(urlsplit(ref).path)).name
    return name or f"images.{n}"


def given_captions(captions: Any, names: Sequence[str], *, numbered: bool = True) -> list[str | None]:
    """The caption of each picture; None for one without.

    A mapping has names (`a.jpg`, or `a`) or, if the caller has `numbered` the pictures by their order, numbers from 0.
    Raises `ValueError`, which names the entry that fits no picture or several: `1` is ambiguous if `1.jpg` or `001.jpg`
    is not the picture number 1.
    """
    found: list[str | None] = [None] * len(names)
    if isinstance(captions, Mapping):
        for name, text in captions.items():
            n = _place(name, names, numbered)
            if found[n] is not None:
                raise ValueError(f"captions.{name}: {names[n]} has another caption already")
            found[n] = text
    elif isinstance(captions, Sequence) and not isinstance(captions, str):
        if len(captions) != len(names):
            raise ValueError(f"captions: needed: {len(names)}, one for each image; given: {len(captions)}")
        found = list(captions)
    return found


def with_trigger(caption: str | None, trigger_word: str | None) -> str:
    """The caption with the trigger word in it: trainers that read captions do not add it."""
    if not caption:
        return ""  # a trainer gives the trigger word to pictures without a caption
    return f"{trigger_word}, {caption}" if trigger_word and trigger_word not in caption else caption


def _place(name: str, names: Sequence[str], numbered: bool) -> int:
    exact = [n for n, each in enumerate(names) if name == each]
    exact = exact or [n for n, each in enumerate(names) if _is_uploaded_as(name, each)]
    places = exact or [n for n, each in enumerate(names) if name in {_stem(each), PurePosixPath(each).name}]
    if numbered and _is_number(name) and int(name) < len(names):
        named = [n for n, each in enumerate(names) if _is_number(_stem(each)) and int(_stem(each)) == int(name)]
        if other_places := [n for n in named if n != int(name)]:
            other = f"{names[other_places[0]]} by its name, and {names[int(name)]} by its number"
            raise ValueError(f"captions.{name}: is {other}; write the whole name")
        places = [int(name)]
    if len(places) != 1:
        shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        problem = "names no image" if not places else f"names {len(places)} images"
        numbers = f"0 to {len(names) - 1}, or " if numbered else ""
        raise ValueError(f"captions.{name}: {problem}; allowed: {numbers}{shown}")
    return places[0]


def _is_uploaded_as(name: str, uploaded: str) -> bool:
    """Whether a file of this name gets the other name in our store: `My cat.JPEG` is `My_cat.jpg` there."""
    ending, stored = by_ending(name), by_ending(uploaded)
    own = uploaded_name(uploaded_key(None, "0" * 64, name, stored.ending))
    return "." in name and ending == stored and own == uploaded


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _stem(name: str) -> str:
    return PurePosixPath(name).stem
