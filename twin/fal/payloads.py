"""Whole inputs of ended requests, for the request list, within a budget of bytes.

A job keeps its input with long texts cut. Where that changed nothing, the job itself has the whole input and nothing is
kept here; so the budget is spent on long inputs only, such as files sent as data URIs.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from twin.fal.job import Job

MAX_PAYLOAD_BYTES = 64 * 1024 * 1024


class Payloads:
    """The long inputs; above the budget the oldest is forgotten first."""

    def __init__(self, max_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        self.bytes = 0
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def keep(self, job: Job) -> None:
        """Keep the whole input of a job that has just ended, before the job cuts it."""
        if not job.is_cut:
            return
        data = json.dumps(job.submission.input, ensure_ascii=False, separators=(",", ":")).encode()
        self._kept[job.request_id] = data
        self.bytes += len(data)
        while self.bytes > self._max_bytes:
            self.drop(next(iter(self._kept)))

    def find(self, job: Job) -> Mapping[str, Any] | None:
        """Return the input of an ended job as it was sent; None when it was too long to be kept until now."""
        if not job.is_cut:
            return job.record
        data = self._kept.get(job.request_id)
        return None if data is None else dict(json.loads(data))

    def drop(self, request_id: str) -> None:
        """Forget an input."""
        self.bytes -= len(self._kept.pop(request_id, b""))
