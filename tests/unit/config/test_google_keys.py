"""Access to Google is found under Google's own names, is never shown, and says what to set when it is missing."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from config.keys.google import GeminiAccess, MissingAccess, VertexAccess, find_gemini, find_vertex
from config.settings import GoogleSettings

SETTINGS = GoogleSettings(_env_file=None)  # type: ignore[call-arg]
TWIN = SETTINGS.model_copy(update={"google_base_url": "http://127.0.0.1:9100/google"})
EXPRESS = {"GOOGLE_API_KEY": "AQ.secret", "GOOGLE_GENAI_USE_VERTEXAI": "True"}


def vertex(folder: Path, **env: str) -> VertexAccess | MissingAccess:
    return find_vertex(SETTINGS, folder, env)


def test_a_key_file_counts_more_than_a_project_and_a_project_more_than_an_express_key(tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text("{}")
    named = {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json")}
    project = {"GOOGLE_CLOUD_PROJECT": "kilns", "GOOGLE_CLOUD_LOCATION": "europe-west4"}

    first = vertex(tmp_path, **named, **project, **EXPRESS)
    second = vertex(tmp_path, **project, **EXPRESS)
    third = vertex(tmp_path, **EXPRESS)

    assert isinstance(first, VertexAccess) and first.file == tmp_path / "key.json"
    assert (first.project, first.location) == ("kilns", "europe-west4")
    assert isinstance(second, VertexAccess) and second.file is None and second.key is None
    assert isinstance(third, VertexAccess) and third.location == "global" and third.project is None
    assert third.key is not None and third.key.get_secret_value() == "AQ.secret" and "secret" not in repr(third)


@pytest.mark.parametrize(
    ("env", "source"),
    [
        ({"GEMINI_API_KEY": "g"}, "GEMINI_API_KEY"),
        ({"GEMINI_API_KEY": "g", **EXPRESS}, "GEMINI_API_KEY"),
        ({"GOOGLE_API_KEY": " k\n"}, "GOOGLE_API_KEY"),
        ({"GOOGLE_API_KEY": "k", "GOOGLE_GENAI_USE_ENTERPRISE": "false", "GOOGLE_GENAI_USE_VERTEXAI": "true"}, "GOOGLE_API_KEY"),
        (EXPRESS, None),
        ({"GEMINI_API_KEY": " "}, None),
        ({"GEMINI_API_KEY": "two words"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_the_gemini_api_takes_its_own_key_or_one_that_is_not_meant_for_vertex(
    tmp_path: Path, env: Mapping[str, str], source: str | None
) -> None:
    found = find_gemini(SETTINGS, tmp_path, env)

    assert (found.source if isinstance(found, GeminiAccess) else None) == source
    if isinstance(found, MissingAccess):
        assert "GEMINI_API_KEY" in found.how_to_set and "two words" not in found.how_to_set
    else:
        assert found.key.get_secret_value() not in repr(found)


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    nothing = vertex(tmp_path)
    gone = vertex(tmp_path, GOOGLE_APPLICATION_CREDENTIALS="gone.json", GOOGLE_CLOUD_PROJECT="kilns")

    assert isinstance(nothing, MissingAccess) and "GOOGLE_APPLICATION_CREDENTIALS" in nothing.how_to_set
    assert gone == MissingAccess("GOOGLE_APPLICATION_CREDENTIALS names gone.json, which is not a file")


def test_a_dotenv_file_is_read_and_the_environment_counts_more(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GOOGLE_CLOUD_PROJECT=file\nGOOGLE_CLOUD_LOCATION=us\n")
    found = vertex(tmp_path, GOOGLE_CLOUD_PROJECT="environment")

    assert isinstance(found, VertexAccess) and (found.project, found.location) == ("environment", "us")


def test_a_stand_in_is_never_given_a_real_key(tmp_path: Path) -> None:
    env = {"GEMINI_API_KEY": "real", "GOOGLE_CLOUD_PROJECT": "real", **EXPRESS}
    gemini, access = find_gemini(TWIN, tmp_path, env), find_vertex(TWIN, tmp_path, env)

    assert isinstance(gemini, GeminiAccess) and gemini.key.get_secret_value() == "local"
    assert isinstance(access, VertexAccess) and access.project == "local" and access.key is None


@pytest.mark.parametrize("wrong", [{"google_region": "global/../x"}, {"google_base_url": "ftp://x"}])
def test_a_region_and_an_address_are_checked(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        GoogleSettings(**wrong)  # type: ignore[arg-type]


def test_the_sdk_is_not_imported_to_tell() -> None:
    code = "import sys, config.keys.google; sys.exit('google.genai' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
