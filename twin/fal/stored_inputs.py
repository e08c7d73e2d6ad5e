"""Stores whole inputs of ended requests for the request list, within a limit of bytes.

A job keeps its input with long texts cut. If that cut nothing, the job has the whole input and nothing is stored here.
So the limit is used for long inputs only, such as files as data URIs.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from twin.fal.job import Job

MAX_STORED_BYTES = 64 * 1024 * 1024


class StoredInputs:
    """The long inputs; above the limit the oldest is dropped."""

    def __init__(self, max_bytes: int = MAX_STORED_BYTES) -> None:
        self.bytes = 0
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def keep(self, job: Job) -> None:
        """Store the whole input of a job that has just ended, before the job cuts it."""
        if not job.is_cut:
            return
        data = json.dumps(job.submission.input, ensure_ascii=False, separators=(",", ":")).encode()
        self._kept[job.request_id] = data
        self.bytes += len(data)
        while self.bytes > self._max_bytes:
            self.drop(next(iter(self._kept)))

    def find(self, job: Job) -> Mapping[str, Any] | None:
        """Return the input of an ended job as it was sent; None if it was long and has been dropped."""
        if not job.is_cut:
            return job.short_input
        data = self._kept.get(job.request_id)
        return None if data is None else dict(json.loads(data))

    def drop(self, request_id: str) -> None:
        """Drop an input."""
        self.bytes -= len(self._kept.pop(request_id, b""))
