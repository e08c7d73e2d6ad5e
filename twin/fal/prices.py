"""Bills a run: units as fal counts them, and US dollars if a price is known.

The prices were read in August and September 2026.
"""

import math
from dataclasses import dataclass
from typing import Any

USD_PER_UNIT = {
    "fal-ai/flux/schnell": 0.003,
    "fal-ai/flux/dev": 0.025,
    "fal-ai/flux-lora": 0.035,
    "fal-ai/flux-2/lora": 0.021,
    "fal-ai/flux-2-pro": 0.03,
    "fal-ai/flux-2-flex": 0.05,
    "fal-ai/flux-2-max": 0.07,
    "fal-ai/flux-2": 0.012,
    "fal-ai/flux-2/turbo": 0.008,
    "fal-ai/flux-2/flash": 0.005,
    "fal-ai/qwen-image-edit-2511": 0.03,
    "fal-ai/qwen-image-edit-2511/lora": 0.035,
    "fal-ai/qwen-image-2/text-to-image": 0.035,
    "fal-ai/qwen-image-2/edit": 0.035,
    "fal-ai/qwen-image-2/pro/edit": 0.075,
    "fal-ai/recraft/v4/text-to-image": 0.04,
    "fal-ai/nano-banana": 0.039,
    "fal-ai/nano-banana/edit": 0.039,
    "fal-ai/nano-banana-2": 0.08,
    "fal-ai/nano-banana-2/edit": 0.08,
    "fal-ai/nano-banana-pro": 0.15,
    "fal-ai/nano-banana-pro/edit": 0.15,
    "fal-ai/seedvr/upscale/image": 0.001,
    "fal-ai/sam-3/image": 0.005,
    "fal-ai/sam-3-1/image": 0.005,
    "fal-ai/flux-lora-fill": 0.035,
    "fal-ai/qwen-image-edit/inpaint": 0.03,
    "fal-ai/flux-2-pro/outpaint": 0.03,
    "fal-ai/bria/expand": 0.04,
    "fal-ai/bria/eraser": 0.04,
    "fal-ai/bria/background/replace": 0.04,
    "fal-ai/bria/product-shot": 0.04,
    "fal-ai/fashn/tryon/v1.6": 0.075,
    "fal-ai/kling/v1-5/kolors-virtual-try-on": 0.07,
    "fal-ai/leffa/virtual-tryon": 0.10,
    "fal-ai/flux-pro/kontext": 0.04,
    "bytedance/seedream/v5/lite/text-to-image": 0.035,
    "bytedance/seedream/v5/lite/edit": 0.035,
    "bytedance/seedream/v5/pro/text-to-image": 0.0675,
    "bytedance/seedream/v5/pro/edit": 0.0675,
    "fal-ai/kling-video/v3/standard/image-to-video": 0.126,
    "alibaba/happy-horse/image-to-video": 0.14,
    "alibaba/happy-horse/text-to-video": 0.14,
}
VEO_FAST = ("fal-ai/veo3.1/fast", "fal-ai/veo3.1/fast/image-to-video")
USD_PER_SECOND_OF_VEO_FAST = {("4k", True): 0.35, ("4k", False): 0.30, ("", True): 0.15, ("", False): 0.10}
"""By resolution and sound; the first is 720p or 1080p if it is empty."""
MAX_SECONDS = 60.0
PER_REQUEST = ("fal-ai/sam-3/", "fal-ai/sam-3-1/")
PER_IMAGE = (
    "fal-ai/nano-banana",
    "fal-ai/fashn/",
    "fal-ai/kling/v1-5/",
    "fal-ai/leffa/",
    "fal-ai/bria/",
    "fal-ai/flux-pro/kontext",
    "bytedance/seedream/v5/",
    "fal-ai/qwen-image-2/",
    "fal-ai/recraft/v4/",
)
TWICE_ABOVE = {"bytedance/seedream/v5/pro/": 1536 * 1536}
"""The pixels above which a picture costs twice as much."""
IMAGE_FACTOR = {
    "fal-ai/nano-banana-2": {"0.5K": 0.75, "2K": 1.5, "4K": 2.0},
    "fal-ai/nano-banana-pro": {"4K": 2.0},
}


@dataclass(frozen=True, slots=True)
class BillableWork:
    """The amount of work of a run; values that do not apply are 0."""

    images: int = 0
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    steps: int = 0
    resolution: str = ""
    has_sound: bool = True


@dataclass(frozen=True, slots=True)
class Bill:
    """Billed units, and US dollars if the price of a unit is known."""

    units: float
    usd: float | None

    @property
    def header(self) -> dict[str, str]:
        """The header with the units."""
        return {"X-Fal-Billable-Units": f"{self.units:g}"}


def bill_for(endpoint: str, work: BillableWork) -> Bill:
    """Count the units of one run and price them."""
    units = _units(endpoint, work)
    price = USD_PER_UNIT.get(endpoint)
    if endpoint in VEO_FAST:
        resolution = "4k" if work.resolution == "4k" else ""
        price = USD_PER_SECOND_OF_VEO_FAST[resolution, work.has_sound]
    return Bill(units, None if price is None else round(units * price, 6))


def list_price(endpoint: str, category: str) -> tuple[float, str] | None:
    """Return the price of a unit in US dollars, and the unit; None if the twin knows no price."""
    usd = USD_PER_SECOND_OF_VEO_FAST["", True] if endpoint in VEO_FAST else USD_PER_UNIT.get(endpoint)
    if usd is None:
        return None
    if category.endswith("-video"):
        return usd, "seconds"
    if endpoint.startswith(PER_REQUEST):
        return usd, "requests"
    return usd, "images" if endpoint.startswith(PER_IMAGE) else "megapixels"


def _units(endpoint: str, work: BillableWork) -> float:
    if work.steps:
        return work.steps
    if work.seconds:
        return work.seconds
    if not work.images or endpoint.startswith(PER_REQUEST):
        return 1
    if endpoint.startswith(PER_IMAGE):
        factors = IMAGE_FACTOR.get(endpoint.removesuffix("/edit"), {})
        large = any(endpoint.startswith(key) and work.width * work.height > most for key, most in TWICE_ABOVE.items())
        return work.images * factors.get(work.resolution, 1.0) * (2 if large else 1)
    return work.images * math.ceil(work.width * work.height / 1_000_000)


def read_seconds(value: Any) -> float:
    """Return a duration that is written as in fal's video models: `8s`, `5`, 5 or `auto`."""
    text = str(value).removesuffix("s")
    try:
        return min(MAX_SECONDS, max(1.0, float(text)))
    except ValueError:
        return 5.0
