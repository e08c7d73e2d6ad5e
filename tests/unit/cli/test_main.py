import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.catalogue import load_catalogue
from worker.cli.errors import CliError
from worker.cli.main import app

RUN = CliRunner(env={"COLUMNS": "160"})


def test_models_as_json_has_every_model_of_the_catalogue() -> None:
    ran = RUN.invoke(app, ["models", "--json"])
    found = {model["name"]: model for model in json.loads(ran.stdout)}
    assert ran.exit_code == 0
    assert set(found) == {model.name for model in load_catalogue().models}
    assert found["flux-schnell"]["endpoints"][0] == {"provider": "fal", "endpoint": "fal-ai/flux/schnell"}
    assert "negative_prompt" not in found["flux-schnell"]["takes"], "a fallback takes it, the model does not"
    assert "loras" in found["flux-lora"]["takes"]


def test_models_of_a_task_are_shown_with_price_and_parameters() -> None:
    ran = RUN.invoke(app, ["models", "--task", "generation.text_to_image"])
    assert "video.image_to_video" not in ran.stdout
    sdxl = "  sdxl  price unknown, usually 3 s\n    takes: LoRAs, negative prompt, several, seed\n    endpoints: fal-ai/fast-sdxl"
    assert sdxl in ran.stdout and "  flux-schnell  $0.003/megapixel, usually 1 s\n" in ran.stdout


def test_the_version_is_that_of_the_package() -> None:
    assert re.fullmatch(r"kilnhand \d+\.\d+\.\d+\n", RUN.invoke(app, ["--version"]).stdout)


def test_a_worker_without_a_secret_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KILNHAND_SECRET", raising=False)
    error = RUN.invoke(app, ["worker", "-Q", "video"]).exception
    assert isinstance(error, CliError) and error.status == 2
    assert "KILNHAND_SECRET is not set" in error.message and "kilnhand up" in error.message


def test_pruning_without_a_secret_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KILNHAND_SECRET", raising=False)
    error = RUN.invoke(app, ["files", "prune"]).exception
    assert isinstance(error, CliError) and "KILNHAND_SECRET is not set" in error.message
    assert "kilnhand up" in error.message


def test_a_large_file_without_a_stack_points_to_up_and_not_to_a_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KILNHAND_SECRET", raising=False)
    monkeypatch.setenv("KILNHAND_STORE_URL", (tmp_path / "none").as_uri())
    (tmp_path / "large.png").write_bytes(bytes(400_000))
    error = RUN.invoke(app, ["submit", "video.image_to_video", "image=@large.png", "prompt=a"]).exception
    assert isinstance(error, CliError) and "`kilnhand up`" in error.message
    assert "KILNHAND_SECRET" not in error.message


def test_every_command_is_in_the_help() -> None:
    shown = RUN.invoke(app, ["--help"]).stdout
    for command in (
        "up",
        "submit",
        "status",
        "cancel",
        "why",
        "dead",
        "audit",
        "duplicates",
        "models",
        "providers",
        "doctor",
        "worker",
        "gateway",
        "twin",
        "flower",
    ):
        assert re.search(rf"│ {command} ", shown), command


def test_help_and_models_do_not_import_celery_fal_or_codecs() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from worker.cli.main import app\n"
        "CliRunner().invoke(app, ['models']); CliRunner().invoke(app, ['--help'])\n"
        "print([name for name in ('celery', 'fal_client', 'av', 'PIL', 'redis') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_flower_does_not_start_without_a_password() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "worker.cli", "flower"], env={"PATH": ""}, capture_output=True, text=True
    )
    assert ran.returncode == 2
    assert "FLOWER_BASIC_AUTH" in ran.stderr


@pytest.mark.parametrize(
    ("folder", "stored", "status", "says"),
    [
        ("files", True, 0, ""),
        ("files", False, 1, "there is no file jobs/a/images-0.png in the store"),
        ("elsewhere", False, 0, "cannot be read from here"),
    ],
)
def test_a_url_is_printed_for_a_file_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, stored: bool, status: int, says: str
) -> None:
    monkeypatch.setenv("KILNHAND_STORE_URL", f"file://{tmp_path / folder}")
    monkeypatch.setenv("KILNHAND_SECRET", "k7Qm2xV9tR4wZ8pLc5NfB1yHsJ3dG6aE")
    (tmp_path / "files" / "jobs" / "a").mkdir(parents=True)
    if stored:
        (tmp_path / "files" / "jobs" / "a" / "images-0.png").write_bytes(b"x")
    found = RUN.invoke(app, ["files", "url", "jobs/a/images-0.png"])
    error = found.exception if isinstance(found.exception, CliError) else None
    assert (error.status if error else found.exit_code) == status
    assert says in f"{error or ''}{found.output}"
    assert ("signature=" in found.stdout) is (status == 0)
    assert not (tmp_path / "elsewhere").exists()
