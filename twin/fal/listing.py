"""What the lists of fal's platform API share: times, comma-separated parameters, and cursors that are page numbers."""

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator
from starlette.datastructures import QueryParams

T = TypeVar("T")
DAY_S = 86_400.0


def _timestamp(text: str) -> float:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _page(text: str) -> int:
    try:
        page = int(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise ValueError("not a cursor of this list") from error
    if page < 1:
        raise ValueError("not a cursor of this list")
    return page


Timestamp = Annotated[float, BeforeValidator(_timestamp)]
Cursor = Annotated[int, BeforeValidator(_page)]


def read_params(query: type[BaseModel], params: QueryParams, *lists: str) -> dict[str, Any]:
    """Return the parameters that a query has. Those in `lists` can be repeated, and can have commas."""
    values: dict[str, Any] = {name: params[name] for name in query.model_fields if name in params}
    for name in set(lists) & values.keys():
        values[name] = [part for value in params.getlist(name) for part in value.split(",") if part]
    return values


def cut_page(found: Sequence[T], page: int, limit: int) -> tuple[Sequence[T], dict[str, Any]]:
    """Return one page, and the fields with the cursor of the next one."""
    first, last = (page - 1) * limit, page * limit
    has_more = len(found) > last
    cursor = base64.b64encode(str(page + 1).encode()).decode() if has_more else None
    return found[first:last], {"next_cursor": cursor, "has_more": has_more}


def stamp(at: float | None) -> str | None:
    """Return a time as fal writes it."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
