"""The pace: how long runs take and how many are concurrent. Tests and demos set it."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_SECONDS = {
    "training": 2.5,
    "image-to-video": 1.5,
    "text-to-video": 1.5,
    "text-to-image": 0.4,
    "image-to-image": 0.4,
}
OTHER_SECONDS = 0.3
UNKNOWN_CATEGORY = "text-to-image"


class Pace(BaseModel):
    """The current pace. Each field can be set alone; `endpoints` comes before `seconds`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: float | None = Field(default=None, ge=0, description="duration of a run of any model; null: by its kind")
    endpoints: Mapping[str, float] = Field(default_factory=dict, description="duration of a run, by endpoint id")
    queue_seconds: float = Field(
        default=0.05, ge=0, description="time in the queue before a run, even if a slot is free"
    )
    concurrency: int = Field(default=40, ge=1, description="concurrent runs of one account")
    webhook_backoff_s: float = Field(
        default=1.0, ge=0, description="pause before the second webhook attempt; doubles each time"
    )
    result_s: float = Field(default=3600.0, ge=0, description="time from its end for which a result can be fetched")
    large_result_s: float = Field(default=360.0, ge=0, description="the same for results of 10 KB and more")
    list_lag_s: float = Field(default=0.0, ge=0, description="time from its end until the list has a request")
    billing_lag_s: float = Field(default=0.0, ge=0, description="time from its end until a request is a billing event")
    tagged_lag_s: float = Field(
        default=0.0, ge=0, description="time from its end until the billing events with tags have a request"
    )

    def seconds_for(self, endpoint: str, category: str | None) -> float:
        """Return how long one run of this endpoint takes."""
        if endpoint in self.endpoints:
            return self.endpoints[endpoint]
        if self.seconds is not None:
            return self.seconds
        return DEFAULT_SECONDS.get(category or UNKNOWN_CATEGORY, OTHER_SECONDS)
