"""docs/twin.md agrees with the code: faults, calls, pace, prefixes, models, hosts, fields of a record."""

import json
import re
from pathlib import Path
from typing import Any

from twin.anthropic.models import MODELS as CLAUDE_MODELS
from twin.fal.address import SERVICE_OF_HOST, Service
from twin.fal.platform_settings import PlatformSettings
from twin.google.address import GEMINI_HOST, OAUTH_HOST, VERTEX_HOST
from twin.google.models import MODELS as GOOGLE_MODELS
from twin.pace import Pace
from twin.script import Call, Fault, FaultKind, Provider, allowed_calls, providers_of

TEXT = (Path(__file__).parents[3] / "docs/twin.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading."""
    part = TEXT.split(f"{heading}\n", 1)[1].split("\n## ")[0]
    table = re.search(r"(?:^\|.*\n)+", part, re.MULTILINE)
    assert table, heading
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in table[0].splitlines()[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_fault_is_documented_with_its_calls() -> None:
    documented = {names(row[0])[0]: row[1] for row in rows("## Faults")}
    any_http_call = names(TEXT.split('"Any HTTP call" is')[1].split(". ")[0])

    assert set(documented) == set(FaultKind)
    for what, calls in documented.items():
        expected = [Call.RUN] if Call.RUN in allowed_calls(FaultKind(what)) else [*allowed_calls(FaultKind(what))]
        assert (any_http_call if calls == "any HTTP call" else names(calls)) == expected, what


def test_every_field_of_a_fault_is_documented() -> None:
    part = TEXT.split("## Faults\n")[1].split("\n## ")[0]

    assert [name for name in Fault.model_fields if f"`{name}`" not in part] == []


def test_every_field_of_the_pace_is_documented_with_its_default() -> None:
    documented = {names(row[0])[0]: row[1] for row in rows("## Pace")}
    defaults = {name: Pace().model_dump()[name] for name in Pace.model_fields}

    assert documented == {
        name: f"{value:g}" if value else "0" if value == 0 else "none" for name, value in defaults.items()
    }


def test_every_field_of_the_platform_is_documented_with_its_default() -> None:
    documented = {names(row[0])[0]: row[1] for row in rows("## Platform")}

    assert documented == {name: json.dumps(value) for name, value in PlatformSettings().model_dump().items()} | {
        "list_missing_share": "0"
    }


def test_every_service_is_documented_with_its_hosts() -> None:
    documented = {names(row[0])[0][1:]: set(names(row[1])) for row in rows("# The twin")}

    assert documented == {
        service.value: {host for host, of in SERVICE_OF_HOST.items() if of is service} for service in Service
    }


def test_every_field_of_a_record_is_documented(twin: Any) -> None:
    twin.submit()
    (record,) = twin.requests()

    assert {name for row in rows("## A record of `/_twin/requests`") for name in names(row[0])} == set(record)


def test_every_model_of_google_and_anthropic_is_documented() -> None:
    google = TEXT.split("\n## Google\n")[1].split("\n## ")[0].split("| models | verb |")[1]
    claude = TEXT.split("\n## Anthropic\n")[1].split("\n## ")[0]

    assert set(re.findall(r"`((?:gemini|veo|virtual)-[\w.-]+)`", google)) == set(GOOGLE_MODELS)
    assert set(re.findall(r"`(claude-[\w.-]+)`", claude)) == set(CLAUDE_MODELS)


def test_every_host_of_google_is_documented() -> None:
    vertex, gemini, oauth = (names(row[0]) for row in rows("## Google")[:3])

    assert all(VERTEX_HOST.fullmatch(host.replace("{region}", "us-central1")) for host in vertex)
    assert (gemini, oauth) == ([GEMINI_HOST], [OAUTH_HOST])


def test_a_fault_that_not_every_provider_has_is_documented_with_its_providers() -> None:
    documented = {names(row[0])[0]: row[2] for row in rows("## Faults")}

    for what in FaultKind:
        if Provider.FAL not in providers_of(what):
            assert documented[what].startswith(", ".join(provider.title() for provider in providers_of(what))), what
