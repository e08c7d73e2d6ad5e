"""All errors: one class for each reaction to a failure.

    ExternalServiceError              an external service failed; the root of all such errors
    ├── RateLimitError                refused for now: retry after a pause that honours Retry-After
    ├── ServiceUnavailableError       not reached, or failed by itself: retry, then use another provider
    ├── AuthenticationError           bad key or account: no retry, an operator has to act
    │   └── AccountLockedError        the account is locked (fal's 403 "User is locked"), the key is not the reason
    ├── RequestRefusedError           the request is invalid for the provider: no retry
    │   └── ContentRefusedError       refused for its content: another provider only if the caller allowed it
    ├── SubmitUnknownError            the provider may or may not have taken the job: no retry before it is reconciled
    ├── BrokenPieceError              an answer without a complete file (none, wrong kind, black, cut short)
    └── StepFailedError               a step of a pipeline failed; `kind` is the code of the step's own error
    InvalidRequestError               raised by us: the request is invalid; one line per field
    └── KeyReusedError                raised by us: the idempotency key belongs to another request
    UnknownJobError                   raised by us: the tenant has no job of this id
    ProviderDisabledError             raised by us: the only provider that could serve the job has no key
    DeadlineExceededError             raised by us: the job's own deadline has passed
    OverBudgetError                   raised by us: the next attempt could take the job above its `max_usd`
    InternalError                     raised by us: a bug in kilnhand; the job ends instead of staying open for ever
    ClaimLostError                    internal, callers never see it: another worker holds the row now

The message is `args[0]`, since Celery's JSON stores `args` only. Pickle keeps the other fields, too.
"""

from typing import Any


class KilnhandError(Exception):
    """Something went wrong."""

    code = "error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])

    @property
    def message(self) -> str:
        """What happened and what to do, for a person."""
        return str(self.args[0])


class ExternalServiceError(KilnhandError):
    """An external service failed."""

    code = "external_service"

    def __init__(
        self,
        message: str | None = None,
        *,
        provider: str | None = None,
        status: int | None = None,
        kind: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """Keep the provider, the HTTP status, the provider's own error type as `kind`, and its Retry-After."""
        super().__init__(message)
        self.provider, self.status, self.kind, self.retry_after_s = provider, status, kind, retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle all fields, not only the message."""
        return (type(self), self.args, self.__dict__)


class RateLimitError(ExternalServiceError):
    """The service asked us to slow down."""

    code = "rate_limited"


class ServiceUnavailableError(ExternalServiceError):
    """The service could not be reached, or failed."""

    code = "service_unavailable"


class AuthenticationError(ExternalServiceError):
    """The service did not accept our key."""

    code = "authentication"


class AccountLockedError(AuthenticationError):
    """The provider has locked our account."""

    code = "account_locked"


class RequestRefusedError(ExternalServiceError):
    """The service refused the request."""

    code = "request_refused"


class ContentRefusedError(RequestRefusedError):
    """The service refused the content of the request."""

    code = "content_refused"


class SubmitUnknownError(ExternalServiceError):
    """It is not known whether the service has taken the job."""

    code = "submit_unknown"


class BrokenPieceError(ExternalServiceError):
    """The answer contains no complete file."""

    code = "broken_piece"


class StepFailedError(ExternalServiceError):
    """A step of the pipeline failed."""

    code = "step_failed"


class InvalidRequestError(KilnhandError, ValueError):
    """The request is invalid."""

    code = "invalid_request"


class KeyReusedError(InvalidRequestError):
    """The idempotency key was used for another request."""

    code = "key_reused"


class UnknownJobError(KilnhandError, LookupError):
    """There is no such job."""

    code = "unknown_job"


class ProviderDisabledError(KilnhandError):
    """The provider that could serve this is not configured."""

    code = "provider_disabled"


class DeadlineExceededError(KilnhandError):
    """The job's deadline has passed."""

    code = "deadline_exceeded"


class OverBudgetError(KilnhandError):
    """The next attempt could cost more than the job may."""

    code = "over_budget"


class InternalError(KilnhandError):
    """The job failed because of a bug in kilnhand."""

    code = "internal"


class ClaimLostError(KilnhandError):
    """Another worker now holds this row."""

    code = "claim_lost"


def _tree(root: type[KilnhandError]) -> list[type[KilnhandError]]:
    return [root, *(found for child in root.__subclasses__() for found in _tree(child))]


def error_class(code: str) -> type[KilnhandError]:
    """The class with this code; `KilnhandError` itself for a code from another version."""
    return next((cls for cls in _tree(KilnhandError) if cls.code == code), KilnhandError)
