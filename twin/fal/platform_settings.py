"""What the platform API allows and stores for every account. Tests set it; times are in `twin.pace`."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field


class PlatformSettings(BaseModel):
    """The current settings. Each field can be set alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    list_allowed: bool = Field(default=True, description="whether keys have the permission models:requests:read")
    list_missing_share: float = Field(default=0.0, ge=0, le=1, description="share of requests that the list never gets")
    stores_payloads: bool = Field(default=True, description="whether the list has inputs and outputs")
    billing_allowed: bool = Field(default=True, description="whether keys have the permission billing:usage:read")
    tagged_reporting: bool = Field(default=True, description="whether billing events with tags are switched on")
    balance_usd: float = Field(default=100.0, description="the credits of every account; runs do not change them")
    any_endpoint: bool = Field(default=False, description="whether ids that are not in the twin's list are accepted")
    tag_keys: tuple[str, ...] | None = Field(
        default=None, description="the tags that are activated for reporting; null: every tag"
    )
    unlisted: tuple[str, ...] = Field(default=(), description="endpoints that the list of models does not have")
    deprecated: tuple[str, ...] = Field(default=(), description="endpoints that the list of models calls deprecated")
    unit_prices: Mapping[str, float] = Field(
        default_factory=dict, description="other prices in the price list, by endpoint id; bills stay as they are"
    )
