"""How long a model takes and how many run at once: the clockwork that tests and demos set."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

USUAL_SECONDS = {
    "training": 2.5,
    "image-to-video": 1.5,
    "text-to-video": 1.5,
    "text-to-image": 0.4,
    "image-to-image": 0.4,
}
OTHER_SECONDS = 0.3
PACE_UNKNOWN = "text-to-image"


class Pace(BaseModel):
    """The pace in force; every field may be set alone, and an endpoint's own seconds win over `seconds`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: float | None = Field(default=None, ge=0, description="a run of any model; null: usual for its kind")
    endpoints: Mapping[str, float] = Field(default_factory=dict, description="a run of one model, by endpoint id")
    queue_seconds: float = Field(
        default=0.05, ge=0, description="time in the queue before a run, even if a slot is free"
    )
    concurrency: int = Field(default=40, ge=1, description="runs at once for one account")
    webhook_backoff_s: float = Field(
        default=1.0, ge=0, description="pause before the second webhook attempt; doubles each time"
    )
    list_lag_s: float = Field(default=0.0, ge=0, description="time after its end until a request shows in the list")

    def seconds_for(self, endpoint: str, category: str | None) -> float:
        """Return how long one run of this endpoint takes."""
        if endpoint in self.endpoints:
            return self.endpoints[endpoint]
        if self.seconds is not None:
            return self.seconds
        return USUAL_SECONDS.get(category or PACE_UNKNOWN, OTHER_SECONDS)
