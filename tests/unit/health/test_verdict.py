"""The verdict for each error."""

import pytest

from worker.errors import (
    AccountLockedError,
    AuthenticationError,
    BrokenPieceError,
    ContentRefusedError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    StepFailedError,
    SubmitUnknownError,
    _tree,
)
from worker.health.verdict import GOOD, IGNORED, MODEL_RETIRED, Verdict, verdict_of


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (None, GOOD),
        (RateLimitError(), Verdict("limited")),
        (RateLimitError(retry_after_s=7), Verdict("limited", 7)),
        (RateLimitError(status=529), Verdict("limited")),
        (ServiceUnavailableError(), Verdict("bad")),
        (ServiceUnavailableError(status=503, retry_after_s=30), Verdict("bad", 30)),
        (SubmitUnknownError(), Verdict("bad")),
        (AuthenticationError(), Verdict("locked")),
        (AuthenticationError(status=401), Verdict("locked")),
        (AuthenticationError(status=403), Verdict("forbidden")),
        (AccountLockedError(status=403), Verdict("locked")),
        (AccountLockedError(status=402), Verdict("locked")),
        (RequestRefusedError(kind=MODEL_RETIRED, status=404), Verdict("retired")),
        (RequestRefusedError(status=404), IGNORED),
        (RequestRefusedError(status=422, kind="value_error"), IGNORED),
        (ContentRefusedError(), IGNORED),
        (ContentRefusedError(kind=MODEL_RETIRED), Verdict("retired")),
        (BrokenPieceError(), IGNORED),
        (StepFailedError(), IGNORED),
        (ExternalServiceError(), IGNORED),
    ],
)
def test_the_verdict_of_an_error(error: ExternalServiceError | None, verdict: Verdict) -> None:
    assert verdict_of(error) == verdict


def test_every_class_of_external_error_is_in_the_table() -> None:
    rows = {type(mark) for mark, _ in test_the_verdict_of_an_error.pytestmark[0].args[1] if mark}  # type: ignore[attr-defined]

    assert {cls for cls in _tree(ExternalServiceError) if cls.__module__ == "worker.errors"} <= rows
