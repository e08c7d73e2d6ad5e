"""Which endpoints may be used that are not in the catalogue."""

import pytest

from config.catalogue import UnknownModelError, load_catalogue
from config.settings import RequestSettings
from worker.cli.demo.calls import CALLS
from worker.edge import models

CATALOGUE = load_catalogue()
TASK = "generation.text_to_image"


@pytest.mark.parametrize(
    ("setting", "endpoint", "may"),
    [
        ("on", "anybody/app", True),
        ("off", "anybody/app", False),
        ("fal-ai/*, ourselves/our-app", "fal-ai/some/new-model", True),
        ("fal-ai/*, ourselves/our-app", "Ourselves/Our-App", True),
        ("fal-ai/*, ourselves/our-app", "anybody/fal-ai/app", False),
        ("fal-ai/*, ourselves/our-app", "ourselves/our-app-2", False),
        (",", "anybody/app", False),
    ],
)
def test_an_endpoint_passes_if_the_setting_allows_it(
    setting: str, endpoint: str, may: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_settings", lambda: RequestSettings(passthrough=setting))
    if may:
        assert models.find_model(CATALOGUE, TASK, endpoint).passthrough
    else:
        with pytest.raises(UnknownModelError, match="KILNHAND_PASSTHROUGH does not allow it"):
            models.find_model(CATALOGUE, TASK, endpoint)
    assert models.find_model(CATALOGUE, TASK, "flux-dev"), "models of the catalogue are always allowed"


@pytest.mark.parametrize("task", sorted(CALLS))
@pytest.mark.parametrize("name", ["pipeline:{}", " pipeline:{}", "pipeline:"])
def test_the_name_of_a_tasks_steps_is_no_model(task: str, name: str) -> None:
    with pytest.raises(UnknownModelError):
        models.find_model(CATALOGUE, task, name.format(task))


@pytest.mark.parametrize("task", ["generation.run", "generation.workflow"])
def test_a_task_that_passes_everything_through_names_the_setting(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_settings", lambda: RequestSettings(passthrough="off"))
    name = "flux-schnell" if task == "generation.run" else "workflows/someone/own"
    with pytest.raises(UnknownModelError, match="KILNHAND_PASSTHROUGH does not allow it") as refused:
        models.find_model(CATALOGUE, task, name)
    assert "is not in the catalogue" not in str(refused.value)
