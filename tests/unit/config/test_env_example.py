"""`.env.example` says what can be set, and is never stale."""

from pathlib import Path

import pytest

from config.env_example import env_example
from config.keys.fal import find_fal_key
from config.settings import GROUPS

FILE = Path(__file__).parents[3] / ".env.example"


def test_the_file_is_what_the_settings_say() -> None:
    assert FILE.read_text(encoding="utf-8") == env_example(), "run: python -m config.env_example > .env.example"


def test_every_setting_is_described() -> None:
    assert [name for group in GROUPS for name, field in group.model_fields.items() if not field.description] == []


def test_every_default_is_accepted_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line.removeprefix("#") for line in env_example().splitlines() if line.startswith("#") and "=" in line]
    (tmp_path / ".env").write_text("\n".join(line for line in lines if "<" not in line), encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    for group in GROUPS:
        assert group() == group(_env_file=None)  # type: ignore[call-arg]


def test_a_copy_sets_no_key(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(env_example(), encoding="utf-8")

    assert find_fal_key(tmp_path, env={"HOME": str(tmp_path)}) is None
