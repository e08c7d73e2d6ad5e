"""fal's platform calls about models and money."""

from typing import Any

import httpx
import pytest

VEO = "fal-ai/veo3.1/fast/image-to-video"


def get(twin: Any, path: str, **params: Any) -> httpx.Response:
    answer: httpx.Response = twin.http.get(f"/api/v1/{path}", params=params)
    return answer


def test_models_are_listed_in_pages_without_a_key(twin: Any) -> None:
    seen: list[str] = []
    cursor: dict[str, str] | None = {}
    with httpx.Client(base_url=twin.url, trust_env=False, verify=False) as http:
        while cursor is not None:
            page = http.get("/api/v1/models", params={"limit": 100, **cursor}).json()
            seen += [model["endpoint_id"] for model in page["models"]]
            cursor = {"cursor": page["next_cursor"]} if page["has_more"] else None
    assert len(seen) == len(set(seen)) > 100
    assert "fal-ai/flux-realism" not in seen, "removed ones are not listed"


def test_models_are_found_by_id_word_category_and_status(twin: Any) -> None:
    (model,) = get(twin, "models", endpoint_id="fal-ai/any-llm").json()["models"]
    assert model["metadata"]["status"] == "deprecated"
    dead = get(twin, "models", status="deprecated").json()["models"]
    assert {one["endpoint_id"] for one in dead} == {"fal-ai/any-llm", "fal-ai/any-llm/vision"}
    found = get(twin, "models", q="kling", category="image-to-video").json()["models"]
    assert found and all("kling" in one["endpoint_id"] for one in found)
    (expanded,) = get(twin, "models", endpoint_id="fal-ai/flux/dev", expand="openapi-3.0").json()["models"]
    assert expanded["openapi"]["error"]["code"] == "expansion_failed"


def test_prices_have_a_unit_and_a_currency(twin: Any) -> None:
    answer = get(twin, "models/pricing", endpoint_id=f"fal-ai/flux/dev,{VEO}").json()
    assert answer["prices"] == [
        {"endpoint_id": "fal-ai/flux/dev", "unit_price": 0.025, "unit": "megapixels", "currency": "USD"},
        {"endpoint_id": VEO, "unit_price": 0.15, "unit": "seconds", "currency": "USD"},
    ]


@pytest.mark.parametrize(
    ("body", "usd"),
    [
        ({"estimate_type": "unit_price", "endpoints": {"fal-ai/flux/dev": {"unit_quantity": 50}}}, 1.25),
        ({"estimate_type": "historical_api_price", "endpoints": {"fal-ai/flux/dev": {"call_quantity": 100}}}, 2.5),
        ({"estimate_type": "historical_api_price", "endpoints": {VEO: {"call_quantity": 1}}}, 1.2),
    ],
)
def test_an_estimate_is_by_units_or_by_calls(twin: Any, body: dict[str, Any], usd: float) -> None:
    answer = twin.http.post("/api/v1/models/pricing/estimate", json=body)
    assert answer.json() == {"estimate_type": body["estimate_type"], "total_cost": usd, "currency": "USD"}


def test_the_account_has_credits(twin: Any) -> None:
    twin.platform(balance_usd=3.5)
    assert "credits" not in get(twin, "account/billing").json()
    assert get(twin, "account/billing", expand="credits").json()["credits"] == {
        "current_balance": 3.5,
        "currency": "USD",
    }


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("GET", "models/pricing", {}, 400),
        ("GET", "models/pricing", {"params": {"endpoint_id": "acme/unheard"}}, 404),
        ("GET", "models", {"params": {"endpoint_id": "acme/unheard"}}, 404),
        ("GET", "models", {"params": {"limit": 0}}, 400),
        ("POST", "models/pricing/estimate", {"content": b"["}, 400),
        ("POST", "models/pricing/estimate", {"json": {"estimate_type": "x", "endpoints": {}}}, 400),
        ("GET", "models/pricing/estimate", {}, 404),
        ("GET", "models/pricing", {"headers": {"Authorization": "Key bad"}}, 401),
        ("GET", "account/billing", {"headers": {"Authorization": ""}}, 401),
    ],
)
def test_what_is_wrong_is_refused_in_the_form_of_the_platform(
    twin: Any, method: str, path: str, sent: dict[str, Any], status: int
) -> None:
    answer = twin.http.request(method, f"/api/v1/{path}", **sent)
    assert answer.status_code == status and set(answer.json()["error"]) == {"type", "message"}


def test_a_fault_can_be_ordered(twin: Any) -> None:
    twin.script(call="platform", what="http", status=503)
    assert get(twin, "models/pricing", endpoint_id="fal-ai/flux/dev").status_code == 503
    assert get(twin, "models/pricing", endpoint_id="fal-ai/flux/dev").status_code == 200
