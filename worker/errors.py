"""Errors, a class per reaction.

    ExternalServiceError              something outside failed; the root, and the name the brief gives it
    ├── RateLimitError                refused for now: again, after a pause that honours Retry-After
    ├── ServiceUnavailableError       not reached, or its own fault: again, then elsewhere
    ├── AuthenticationError           our key or account: never again by itself, somebody has to act
    │   └── AccountLockedError        the account is closed (fal's 403 "User is locked"): not a bad key
    ├── RequestRefusedError           the request is at fault: never again
    │   └── ContentRefusedError       refused for its content: elsewhere only if the caller said so
    ├── SubmitUnknownError            the provider may or may not have taken it: never again before it is reconciled
    └── BrokenPieceError              an answer without a whole piece (no file, another kind, black, cut short)
    InvalidRequestError               ours: a request that cannot be sent; one line a field
    └── KeyReusedError                ours: its idempotency key belongs to another request
    ProviderDisabledError             ours: no key for the only provider that could serve it
    DeadlineExceededError             ours: the job's own deadline passed
    InternalError                     ours: a defect; the job ends rather than staying for ever
    ClaimLostError                    ours, never seen by a caller: another worker holds the row now

Each keeps its fields through pickle and through Celery's JSON (which stores `args` only), so the message is `args[0]`.
"""

from typing import Any


class KilnhandError(Exception):
    """Something went wrong."""

    code = "error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])

    @property
    def message(self) -> str:
        """What happened and the way out, for a person."""
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
        """Pickle with every field, not the message alone."""
        return (type(self), self.args, self.__dict__)


class RateLimitError(ExternalServiceError):
    """The service asks for a pause."""

    code = "rate_limited"


class ServiceUnavailableError(ExternalServiceError):
    """The service could not be reached, or failed by itself."""

    code = "service_unavailable"


class AuthenticationError(ExternalServiceError):
    """The service does not accept our key."""

    code = "authentication"


class AccountLockedError(AuthenticationError):
    """The provider has locked our account."""

    code = "account_locked"


class RequestRefusedError(ExternalServiceError):
    """The service refused the request as it is."""

    code = "request_refused"


class ContentRefusedError(RequestRefusedError):
    """The service refused the request for its content."""

    code = "content_refused"


class SubmitUnknownError(ExternalServiceError):
    """The service may or may not have taken the job."""

    code = "submit_unknown"


class BrokenPieceError(ExternalServiceError):
    """The answer holds no whole piece."""

    code = "broken_piece"


class InvalidRequestError(KilnhandError, ValueError):
    """The request cannot be sent."""

    code = "invalid_request"


class KeyReusedError(InvalidRequestError):
    """The idempotency key was used for another request."""

    code = "key_reused"


class ProviderDisabledError(KilnhandError):
    """The provider that could serve this is not configured."""

    code = "provider_disabled"


class DeadlineExceededError(KilnhandError):
    """The job's deadline passed."""

    code = "deadline_exceeded"


class InternalError(KilnhandError):
    """A defect of ours ended the job."""

    code = "internal"


class ClaimLostError(KilnhandError):
    """Another worker holds this row now."""

    code = "claim_lost"


def _tree(root: type[KilnhandError]) -> list[type[KilnhandError]]:
    return [root, *(found for child in root.__subclasses__() for found in _tree(child))]


def error_class(code: str) -> type[KilnhandError]:
    """The class with this code; `KilnhandError` itself for a code from another version."""
    return next((cls for cls in _tree(KilnhandError) if cls.code == code), KilnhandError)
