"""Any answer of any endpoint: its files are found wherever they are, and the rest is kept as it is. Pure.

A file is an object with a URL and a content type, file name or size; a bare URL that ends like a file or is on fal's
file hosts; a data: URI; or base64 that begins like a known format. Any other URL is a link, and stays as it is.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic_core import to_json

from worker.files.answer_files import AnswerFile, file_of
from worker.files.archive import is_archive
from worker.files.formats import ANYTHING, sniff
from worker.files.pieces import FLAGS
from worker.jobs.job import Piece
from worker.jobs.leaves import leaves
from worker.jobs.raw_arguments import DATA_URI, kind_of
from worker.jobs.raw_result import FILE_MARK
from worker.jobs.status import VALUES

MOST_FILES = 64
MOST_ANSWER_BYTES = 256 << 10  # of an answer that is part of a result; a larger one is stored as a file
FILES = Piece("files", "file", "files.*", count=MOST_FILES, fewest=0, as_found=True)

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_NO_LINE_ENDS = {ord("\r"): None, ord("\n"): None}
_LONGEST_URL = 4096  # a row keeps no longer one
_LEAST_BASE64 = 100  # characters
_HEADS = (b"glTF", b"%PDF-")
_DESCRIBES = frozenset({"content_type", "file_name", "file_size", "width"})
_HOSTS = ("fal.media",)


class AnyAnswer:
    """Takes every answer. See `worker.jobs.answers.AnswerCheck`."""

    def check(
        self, request: Mapping[str, Any], output: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The files of the answer, and the answer itself with marks in their places."""
        found = _Files(frozenset(text for _, text in leaves(request)))
        values: dict[str, Any] = {"answer": found.marked(output), "answer_url": None}
        flags = output.get(FLAGS)
        are_flagged = isinstance(flags, list) and len(flags) == len(found.listed)
        raw = to_json(values["answer"])
        if len(raw) > MOST_ANSWER_BYTES:
            encoded = base64.b64encode(to_json(output)).decode()
            mark = found.add(
                AnswerFile(f"data:application/json;base64,{encoded}", "application/json", "answer.json"), MOST_FILES
            )
            values = {"answer": None, "answer_url": mark}
        return {
            "files": found.listed,
            **({FLAGS: flags} if are_flagged else {}),
            **({"seed": output["seed"]} if "seed" in output else {}),
            VALUES: values,
        }

    def repair(self, arguments: Mapping[str, Any], faults: Any) -> dict[str, Any]:
        """No answer is faulty."""
        return dict(arguments)


class _Files:
    """The files of one answer, each once. URLs of the request are the caller's own."""

    def __init__(self, sent: frozenset[str]) -> None:
        self.listed = list[dict[str, str]]()
        self._sent, self._numbers = sent, dict[str, int]()

    def add(self, file: AnswerFile, most: int = MOST_FILES - 1) -> str:
        """The mark of the file; its URL if there are too many already."""
        if file.url not in self._numbers:
            if len(self.listed) >= most:
                return file.url
            self._numbers[file.url] = len(self.listed)
            named = {"url": file.url, "content_type": file.content_type, "file_name": file.file_name}
            self.listed.append({name: text for name, text in named.items() if text})
        return f"{FILE_MARK}{self._numbers[file.url]}"

    def marked(self, node: Any) -> Any:
        """The value with the mark of each file in place of its URL. An answer has at most 64 levels."""
        match node:
            case dict():
                file = self._file(node)
                rest = {name: value if file and name == "url" else self.marked(value) for name, value in node.items()}
                return {**rest, "url": self.add(file)} if file else rest
            case list():
                return [self.marked(each) for each in node]
            case str():
                file = self._file(node) or _in_base64(node)
                return self.add(file) if file else node
        return node

    def _file(self, node: Any) -> AnswerFile | None:
        file = file_of(node)
        if file is None or file.url in self._sent:
            return None
        if file.url[:5].lower() == "data:":
            return file if DATA_URI.match(file.url) else None
        if len(file.url) > _LONGEST_URL:
            return None
        is_described = isinstance(node, Mapping) and bool(_DESCRIBES & node.keys())
        return file if is_described or _ends_like_a_file(file.url) else None


def _ends_like_a_file(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    is_at_fal = any(host == name or host.endswith(f".{name}") for name in _HOSTS)
    return url[:4].lower() == "http" and (is_at_fal or kind_of(url, "") is not None)


def _in_base64(text: str) -> AnswerFile | None:
    """The file that a text is in base64, as OpenAI's `b64_json` is; None for any other text.

    An endpoint may echo any prompt, so the time grows with the length alone: the head decides first, and no part of
    the pattern can match what another part matches.
    """
    if len(text) < _LEAST_BASE64:
        return None
    try:
        head = base64.b64decode("".join(text[:_LEAST_BASE64].split())[:88])
    except ValueError:  # not a multiple of 4; not ASCII
        return None
    form = sniff(head)
    if form is ANYTHING and not is_archive(head) and not head.startswith(_HEADS):
        return None
    data = text.rstrip().translate(_NO_LINE_ENDS)
    if not _BASE64.fullmatch(data):
        return None
    content_type = "application/zip" if head.startswith(b"PK") else form.content_type
    return AnswerFile(f"data:{content_type};base64,{data}", content_type)
