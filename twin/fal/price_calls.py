"""fal's platform calls about models and money: the list of models, their prices, an estimate, the account's credits.

As in fal's OpenAPI document of the platform API (https://fal.ai/docs/platform-apis). Not described there, and
assumptions: one id that is not known makes the whole call 404; a model whose price the twin does not know has no row; a
historical estimate takes one picture, or eight seconds, for a call.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from twin.fal.listing import Cursor, cut_page, read_params
from twin.fal.models import Model
from twin.fal.prices import list_price
from twin.fal.service import FalService

UPDATED_AT = "2026-08-01T00:00:00Z"
TYPICAL_SECONDS = 8
Ids = Annotated[tuple[str, ...], Field(max_length=50)]


class UnknownEndpoint(Exception):
    """No model has this id."""


class ModelQuery(BaseModel):
    """The parameters of the list of models."""

    model_config = ConfigDict(frozen=True)

    endpoint_id: Ids = ()
    q: str = ""
    category: str | None = None
    status: Literal["active", "deprecated"] | None = None
    expand: tuple[str, ...] = ()
    limit: int = Field(default=50, ge=1, le=100)
    cursor: Cursor = 1


class PriceQuery(BaseModel):
    """The parameters of the price list."""

    model_config = ConfigDict(frozen=True)

    endpoint_id: Annotated[Ids, Field(min_length=1)]


class Quantity(BaseModel):
    """How much of one endpoint an estimate is for: calls, or units."""

    call_quantity: int | None = Field(default=None, ge=1)
    unit_quantity: float | None = Field(default=None, gt=0)


class Estimate(BaseModel):
    """The body of an estimate."""

    estimate_type: Literal["historical_api_price", "unit_price"]
    endpoints: dict[str, Quantity] = Field(min_length=1)


def models_page(fal: FalService, params: Any) -> dict[str, Any]:
    """Return one page of models; raise ValidationError or UnknownEndpoint."""
    query = ModelQuery.model_validate(read_params(ModelQuery, params, "endpoint_id", "expand"))
    found = [model for model in _known(fal, query.endpoint_id) if _matches(query, model)]
    page, more = cut_page(found, query.cursor, query.limit)
    return {"models": [_described(model, query) for model in page], **more}


def prices_page(fal: FalService, params: Any) -> dict[str, Any]:
    """Return the prices of these endpoints; raise ValidationError or UnknownEndpoint."""
    query = PriceQuery.model_validate(read_params(PriceQuery, params, "endpoint_id"))
    rows = []
    for model in _known(fal, query.endpoint_id):
        if (price := list_price(model.endpoint, model.category)) is not None:
            usd, unit = fal.platform.unit_prices.get(model.endpoint, price[0]), price[1]
            rows.append({"endpoint_id": model.endpoint, "unit_price": usd, "unit": unit, "currency": "USD"})
    return {"prices": rows, "next_cursor": None, "has_more": False}


def estimate(fal: FalService, body: Any) -> dict[str, Any]:
    """Return the estimated cost; raise ValidationError or UnknownEndpoint."""
    asked = Estimate.model_validate(body)
    total = 0.0
    for model in _known(fal, tuple(asked.endpoints)):
        usd, unit = list_price(model.endpoint, model.category) or (0.0, "")
        quantity = asked.endpoints[model.endpoint]
        of_one_call = TYPICAL_SECONDS if unit == "seconds" else 1
        is_by_unit = asked.estimate_type == "unit_price"
        total += usd * ((quantity.unit_quantity or 0) if is_by_unit else (quantity.call_quantity or 0) * of_one_call)
    return {"estimate_type": asked.estimate_type, "total_cost": round(total, 6), "currency": "USD"}


def account_billing(fal: FalService, account: str, expand: Sequence[str]) -> dict[str, Any]:
    """Return the account, with its credits if they are asked for."""
    balance = {"current_balance": fal.platform.balance_usd, "currency": "USD"}
    return {"username": account} | ({"credits": balance} if "credits" in expand else {})


def _known(fal: FalService, ids: Sequence[str]) -> list[Model]:
    """Return these models, or all; those that fal removed are not listed."""
    settings, models = fal.platform, fal.models.by_id
    listed = {name: model for name, model in models.items() if not model.is_gone and name not in settings.unlisted}
    listed |= {name: replace(listed[name], is_deprecated=True) for name in settings.deprecated if name in listed}
    if unknown := [endpoint for endpoint in ids if endpoint not in listed]:
        raise UnknownEndpoint(f"Model endpoint(s) not found: {', '.join(unknown)}")
    return [listed[endpoint] for endpoint in dict.fromkeys(ids)] if ids else list(listed.values())


def _matches(query: ModelQuery, model: Model) -> bool:
    text = f"{model.endpoint} {model.category}".casefold()
    return (
        all(word in text for word in query.q.casefold().split())
        and query.category in (None, model.category)
        and query.status in (None, _status(model))
    )


def _status(model: Model) -> str:
    return "deprecated" if model.is_deprecated else "active"


def _described(model: Model, query: ModelQuery) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "display_name": model.endpoint.partition("/")[2],
        "category": model.category,
        "description": f"The twin of {model.endpoint}",
        "status": _status(model),
        "tags": [],
        "updated_at": UPDATED_AT,
        "is_favorited": None,
        "thumbnail_url": "",
        "model_url": f"https://fal.run/{model.endpoint}",
        "date": UPDATED_AT,
        "highlighted": False,
        "pinned": False,
    }
    failed = {"error": {"code": "expansion_failed", "message": "The twin has no OpenAPI document"}}
    more = {"openapi": failed} if "openapi-3.0" in query.expand else {}
    return {"endpoint_id": model.endpoint, "metadata": metadata, **more}
