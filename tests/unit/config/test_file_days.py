"""How long files are kept, by the rules of a setting."""

import pytest

from config.file_days import FileDays, read_file_days

RULES = "30, tenant:acme=7, tenant:keep=0, label:draft=1, label:kind:preview=2, label:for-ever=0"


@pytest.mark.parametrize(
    ("tenant", "labels", "days"),
    [
        (None, {}, 30),
        ("other", {}, 30),
        ("acme", {}, 7),
        ("keep", {}, None),
        ("acme", {"draft": "yes"}, 1),
        (None, {"kind": "preview"}, 2),
        (None, {"kind": "final"}, 30),
        ("acme", {"kind": "preview", "draft": ""}, 1),
        ("acme", {"for-ever": ""}, None),
        ("acme", {"for-ever": "", "draft": ""}, 1),
    ],
)
def test_a_label_comes_before_a_tenant_and_a_tenant_before_all(
    tenant: str | None, labels: dict[str, str], days: int | None
) -> None:
    assert read_file_days(RULES).of(tenant, labels) == days


def test_nothing_is_for_ever() -> None:
    assert read_file_days("") == FileDays() == read_file_days("0")
    assert read_file_days("").of("acme", {"draft": ""}) is None
    assert read_file_days("tenant:a=b=3").of("a=b", {}) == 3


@pytest.mark.parametrize("text", ["soon", "-1", "1.5", "tenant:acme", "tenant:=3", "label:x=soon", "30,7", "99999"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: days"):
        read_file_days(text)
