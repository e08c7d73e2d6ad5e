"""The headers of a submission to fal: our tags, the model and no other, until when it may begin, and how long its files
stay there. Pure.

Sources: https://fal.ai/docs/documentation/model-apis/common-parameters and /inference/queue. By default fal serves a
failed request by an equivalent endpoint, without saying so. `X-Fal-Request-Timeout` counts the time in the queue and
failed attempts; a run that has begun goes on. After it fal answers 504 and bills nothing. Without a lifecycle the files
of a run stay public at fal for ever (https://fal.ai/docs/documentation/model-apis/media-expiration).
"""

import json

from worker.providers.base import Call
from worker.providers.fal.tags import tag_header

LEAST_TIMEOUT_S = 1.1  # fal-client 1.0.3 refuses one second and less


def submit_headers(call: Call, files_s: int) -> dict[str, str]:
    """The headers, without those of the SDK. `files_s`: how long fal keeps the files of the run."""
    headers = {
        "X-Fal-Tags": tag_header(call.job_id, call.attempt),
        "x-app-fal-disable-fallback": "1",
        "X-Fal-Object-Lifecycle-Preference": json.dumps({"expiration_duration_seconds": files_s}),
    }
    if call.start_within_s is None:
        return headers
    return {**headers, "X-Fal-Request-Timeout": f"{max(LEAST_TIMEOUT_S, call.start_within_s):.1f}"}
