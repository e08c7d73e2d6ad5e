"""What a step would cost by the catalogue."""

from typing import Any

import pytest

from config.catalogue import Price, load_catalogue
from worker.job import Step
from worker.served import estimate_usd

CATALOGUE = load_catalogue()


@pytest.mark.parametrize(
    ("model", "arguments", "usd"),
    [
        ("flux-schnell", {"image_size": "square_hd"}, 0.006),  # 1.05 megapixels are billed as two
        ("flux-schnell", {"image_size": "landscape_4_3", "num_images": 3}, 0.009),
        ("flux-dev", {"image_size": {"width": 2000, "height": 1000}, "num_images": 2}, 0.1),
        ("flux-dev", {}, 0.025),
        ("nano-banana-2", {"num_images": 4, "image_size": "square_hd"}, 0.32),
        ("veo-3.1-fast", {"duration_s": 8}, 0.8),
        ("veo-3.1-fast", {}, None),
        ("sdxl", {"num_images": 2}, None),
        ("someone/some-model", {"num_images": 2}, None),
    ],
)
def test_a_step_is_estimated_from_its_arguments(model: str, arguments: dict[str, Any], usd: float | None) -> None:
    assert estimate_usd(CATALOGUE.find(model), Step(model, arguments, ())) == usd


@pytest.mark.parametrize(
    ("per", "arguments", "usd"),
    [("step", {"steps": 1000}, 2.0), ("step", {}, None), ("request", {}, 0.002), ("second", {"duration_s": 4}, 0.008)],
)
def test_every_unit_of_a_price_is_counted(per: Any, arguments: dict[str, Any], usd: float | None) -> None:
    model = CATALOGUE.find("sdxl").model_copy(update={"price": Price(usd=0.002, per=per)})
    assert estimate_usd(model, Step("sdxl", arguments, ())) == usd
