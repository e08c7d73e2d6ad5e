"""What fal's key must be allowed to do on the platform API, and the error of a key that may not.

A key of the preset `API`, which is enough to run models, lacks the permission for billing events; the presets
`BILLING`, `READONLY` and `FULL` have it. Older texts of fal ask for an admin key instead. Sources: fal.ai/docs on its
platform MCP (`models:requests:read`, `billing:usage:read`), users' notes on the presets; read in November 2026.
"""

from worker.errors import AuthenticationError

LIST_REQUESTS = "models:requests:read"
READ_BILLING = "billing:usage:read"
TAGGED_REPORTING = "tagged reporting"  # of the account, not of a key: fal's support switches it on


def no_access(status: int, needs: str, permission: str) -> "PermissionMissingError":
    """The error for this HTTP status: 401 means that fal does not know the key, 403 that `needs` is not met."""
    refused = "fal refused the key (HTTP 401): it is wrong or was revoked"
    return PermissionMissingError(refused if status == 401 else needs, permission=permission, status=status)


class PermissionMissingError(AuthenticationError):
    """The key or the account may not read this at fal."""

    def __init__(self, message: str | None = None, *, permission: str = "", status: int | None = None) -> None:
        """Keep what is missing, by fal's name."""
        super().__init__(message, provider="fal", status=status, kind="permission_missing")
        self.permission = permission
