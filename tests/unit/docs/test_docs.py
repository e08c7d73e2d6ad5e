"""The documents say what the code does: commands, files, settings, options, codes, words and names."""

import re
from pathlib import Path
from typing import Any
from xml.dom import minidom

import pytest
from typer.main import get_command

from config.catalogue import load_catalogue
from config.settings import GROUPS, variable
from tasks import audio, editing, generation, language, training, video
from tasks.editing import compositing
from tasks.generation import comfy
from tasks.language import completion
from tasks.pipelines.batch import batch
from tasks.pipelines.face import fix_face
from tasks.pipelines.garment import fix_garment
from tasks.pipelines.sticker import sticker
from tasks.vision import detection, segmentation
from tasks.vision import words as vision_words
from worker.cli.main import app as cli
from worker.edge.app import celery_config
from worker.errors import KilnhandError, _tree
from worker.jobs.job import MOVES, Stage
from worker.jobs.request import JobOptions
from worker.jobs.status import FileOut, JobResult, JobStatus

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
README, OPERATIONS, TASKS = TEXT["README.md"], TEXT["docs/operations.md"], TEXT["docs/tasks.md"]
EXAMPLES = {  # docs/adding.md makes them
    "tasks/editing/dressing.py",
    "tasks/pipelines/poster.py",
    "worker/providers/swatch.py",
}

OWN_WORK = ("grow_mask", "overlay", "cut", "blend", "contact_sheet")
EDITS = (
    *(editing.remove_background, editing.replace_background, editing.upscale, editing.inpaint, editing.erase),
    *(editing.expand, editing.try_on),
)
VIDEOS = (video.text_to_video, video.image_to_video, video.reference_to_video, video.extend)
SEEN = (
    *(detection.detect, detection.detect_faces, detection.point),
    *(segmentation.segment, vision_words.ask, vision_words.describe),
)
ANY = (generation.run, generation.workflow)
TRAININGS = (training.lora, training.prepare, training.unpack, training.pack)
REPAIRS = (fix_garment, fix_face, sticker, *(getattr(compositing, name) for name in OWN_WORK))
SOUNDS = (audio.speak, audio.transcribe)
WORDS = (
    *(language.caption, language.style, language.analyse),
    *(language.filter_products, completion.complete),
)
PICTURES = (generation.text_to_image, generation.image_to_image)
every_task = pytest.mark.parametrize(
    ("task", "page"),
    [
        (batch, "docs/tasks/batch.md"),
        *((task, "docs/tasks/pictures.md") for task in PICTURES),
        (comfy.comfy, "docs/tasks/comfy.md"),
        *((task, "docs/tasks/editing.md") for task in EDITS),
        *((task, "docs/tasks/video.md") for task in VIDEOS),
        *((task, "docs/tasks/vision.md") for task in SEEN),
        *((task, "docs/tasks/audio.md") for task in SOUNDS),
        *((task, "docs/tasks/repairs.md") for task in REPAIRS),
        *((task, "docs/tasks/language.md") for task in WORDS),
        *((task, "docs/tasks/run.md") for task in ANY),
        *((task, "docs/tasks/training.md") for task in TRAININGS),
    ],
)


def blocks(text: str, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [body for kind, body in found if kind == language]


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    part = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]


def test_every_file_that_is_named_exists(subtests: pytest.Subtests) -> None:
    for page in TEXT:
        with subtests.test(page=page):
            named = set(re.findall(r"`((?:config|worker|tasks|twin|tests|docs|benchmarks)/[\w./-]+\.\w+)`", TEXT[page]))

            assert [name for name in sorted(named - EXAMPLES) if not (ROOT / name).exists()] == []


def test_every_link_to_a_page_leads_somewhere(subtests: pytest.Subtests) -> None:
    for page in TEXT:
        with subtests.test(page=page):
            links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", TEXT[page])]
            here = (ROOT / page).parent

            assert [link for link in links if link and "://" not in link and not (here / link).exists()] == []


def test_every_module_that_is_run_or_named_exists(subtests: pytest.Subtests) -> None:
    for page in TEXT:
        with subtests.test(page=page):
            for module in re.findall(r"python -m ((?:config|benchmarks)[\w.]+)", TEXT[page]):
                assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module


def test_every_command_exists(subtests: pytest.Subtests) -> None:
    for page in TEXT:
        with subtests.test(page=page):
            commands = get_command(cli).commands  # type: ignore[attr-defined]
            code = "\n".join([*blocks(TEXT[page], ""), *re.findall(r"`([^`\n]+)`", TEXT[page])])
            used = re.findall(r"(?:^|[\s/])kilnhand ([a-z]+)((?: [^\n`]*)?)", code, re.MULTILINE)

            for name, rest in used:
                assert name in commands or name == "needs", name  # "kilnhand needs the threads pool" is a message
                if name in {"worker", "twin", "flower", "needs"}:
                    continue
                command = commands[name]
                if hasattr(command, "commands") and re.match(r" [a-z]", rest):  # a command with commands of its own
                    assert rest.split()[0] in command.commands, (name, rest)
                    command = command.commands[rest.split()[0]]
                known = {
                    option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
                }
                assert set(re.findall(r"(?<=\s)--[a-z-]+", rest.partition(";")[0])) <= known, (name, rest)


def test_every_command_is_on_its_page() -> None:
    part = TEXT["docs/command-line.md"]
    told = " ".join(line.partition("  ")[0] for line in part.splitlines() if line.startswith("kilnhand "))

    assert [name for name in get_command(cli).commands if not re.search(rf"\b{name}\b", told)] == []  # type: ignore[attr-defined]


def test_every_target_of_make_exists(subtests: pytest.Subtests) -> None:
    for page in TEXT:
        with subtests.test(page=page):
            targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            code = "\n".join([*blocks(TEXT[page], ""), *re.findall(r"`([^`\n]+)`", TEXT[page])])

            assert set(re.findall(r"(?:^|\s)make ([a-z-]+)", code, re.MULTILINE)) <= set(targets)


def test_every_variable_of_ours_exists(subtests: pytest.Subtests) -> None:
    for page in TEXT:
        with subtests.test(page=page):
            known = (ROOT / ".env.example").read_text(encoding="utf-8")

            assert [name for name in set(re.findall(r"KILNHAND_[A-Z_]+[A-Z]", TEXT[page])) if name not in known] == []


def test_python_in_the_text_can_be_compiled(subtests: pytest.Subtests) -> None:
    for page in TEXT:
        with subtests.test(page=page):
            for block in blocks(TEXT[page], "python"):
                is_row = block.startswith("    ")  # of a table, shown as it stands there
                compile(f"{{\n{block}}}" if is_row else block, page, "exec")


def test_nothing_of_one_machine_is_named(subtests: pytest.Subtests) -> None:
    for page in TEXT:
        with subtests.test(page=page):
            assert re.findall(r"/(?:root|home|tmp)/\w", TEXT[page]) == []


def test_the_first_screen_has_exactly_the_two_commands() -> None:
    first = README.split("\n## ")[0]

    assert re.findall(r"^(\S+ \S+)", "\n".join(blocks(first, "")), re.MULTILINE) == ["make demo", "make test"]


def test_the_readme_stays_short() -> None:
    assert len(README.splitlines()) <= 110


@every_task
def test_the_page_names_every_parameter(task: Any, page: str) -> None:
    (row,) = [row for row in rows(TEXT[page], "Tasks") if f"`{task.name}`" in row[0]]

    assert [name for name in task.asks.model_fields if f"`{name}`" not in row[1] and name != "extra"] == []
    model = task.asks.model_fields["model"]
    assert model.is_required() or model.default is None or model.default in row[1]
    assert [name for name in set(task.gives.model_fields) - set(JobResult.model_fields) if name not in row[2]] == []
    assert f"`{task.job_queue}`" in row[0]


def test_the_page_names_every_option_status_and_result_field() -> None:
    options = " ".join(row[0] for row in rows(TASKS, "Tasks"))

    assert [name for name in (*JobOptions.model_fields, "extra") if f"`{name}`" not in options] == []
    states = TASKS.split("\n## States\n")[1].split("\n## ")[0]
    for model in (JobStatus, JobResult, FileOut):
        assert [name for name in model.model_fields if not re.search(rf"\b{name}\b", states)] == []


def test_every_error_is_on_both_pages() -> None:
    ours = [cls for cls in _tree(KilnhandError) if cls.__module__ == KilnhandError.__module__]
    table = {code: row for row in rows(OPERATIONS, "Errors") for code in re.findall(r"`(\w+)`", row[0])}

    assert set(table) == {cls.code for cls in ours}
    assert [cls.__name__ for cls in ours if f"`{cls.__name__}`" not in table[cls.code][1]] == []
    unseen = {"KilnhandError", "ExternalServiceError", "ClaimLostError"}
    readme = TASKS.split("\n## Errors\n")[1].split("\n## ")[0]
    assert [cls.__name__ for cls in ours if cls.__name__ not in readme and cls.__name__ not in unseen] == []


def test_operations_has_every_setting_with_its_default() -> None:
    told = {row[0].strip("`"): row[1].strip("`") for row in rows(OPERATIONS, "Settings")}
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    ours = {variable(group, name) for group in GROUPS for name in group.model_fields}

    assert set(told) == ours
    for name, default in told.items():
        (written,) = re.findall(rf"^#{name}=(.*)$", example, re.MULTILINE)
        assert default in ({written} if written else {"none", "the same Redis"}), name


def test_the_worked_examples_serve_and_route_every_queue() -> None:
    queues = {task.job_queue for task in (*WORDS, *PICTURES, *EDITS, *VIDEOS, *SEEN, *SOUNDS, *TRAININGS)}
    others = {"__init__", "__pycache__", "pipelines"}  # a pipeline is in the queue of what it makes
    assert queues == {path.stem for path in (ROOT / "tasks").iterdir()} - others
    served = ",".join(re.findall(r"^kilnhand worker -Q (\S+)$", OPERATIONS, re.MULTILINE)).split(",")
    assert sorted(served) == sorted(queues)
    (alone,) = re.findall(r"^kilnhand worker -I \S+ -Q (\S+)$", TEXT["docs/celery.md"], re.MULTILINE)
    assert set(alone.split(",")) == queues | {"shop"}
    (routed,) = re.findall(r"for queue in \((.*?)\)\s*}", TEXT["docs/celery.md"])
    assert {name.strip(' "') for name in routed.split(",")} == queues


def test_operations_has_every_option_of_celery_with_its_value() -> None:
    options = celery_config()
    options |= options.pop("broker_transport_options")
    told = {row[0].strip("`"): row[1] for row in rows(OPERATIONS, "Celery's options")}

    assert set(told) == set(options) - {"broker_url"}
    for name, value in told.items():
        if isinstance(options[name], bool | int | float | None):
            assert value in {f"{options[name]:g}" if isinstance(options[name], float) else str(options[name])} or (
                name == "result_expires" and value == "`KILNHAND_RESULT_DAYS`"
            ), name
        elif name == "task_publish_retry_policy":
            assert f"{options[name]['max_retries']} tries" in value
        elif value == "`KILNHAND_PREFIX`":
            assert "prefix" in str(options[name]) or options[name] == ""
        elif name != "result_backend":
            assert value in options[name], name


def test_operations_has_every_event_of_the_log() -> None:
    told = set(re.findall(r"`([a-z_]+)`", " ".join(row[0] for row in rows(OPERATIONS, "Logs"))))
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "worker").rglob("*.py"))
    said = set(re.findall(r"(?:log|bound)\.(?:info|warning|exception|critical|error)\(\s*\"([a-z_]+)\"", source))

    assert told == said


def test_the_stage_table_has_every_stage_and_only_allowed_moves() -> None:
    table = rows(TEXT["docs/architecture.md"], "The life of a row")
    told = {stage: set(re.findall(r"`(\w+)`", row[2])) for row in table for stage in re.findall(r"`(\w+)`", row[0])}

    assert set(told) == set(Stage)
    assert [stage for stage, moves in told.items() if not moves <= set(MOVES[Stage(stage)])] == []


def test_the_layers_are_those_that_are_checked() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    checked = re.findall(r'"([^"]+)"', project.split("layers = [")[1].split("\n]")[0])
    (drawn,) = [
        block
        for block in blocks(TEXT["docs/architecture.md"], "")
        if "worker.services" in block and "tasks" in block and "config" in block and "└" not in block
    ]
    names = [re.findall(r"[a-z]+(?:\.[a-z]+)*", re.split(r" {2,}", line)[0]) for line in drawn.splitlines()]

    assert names[: len(checked)] == [re.findall(r"[a-z]+(?:\.[a-z]+)*", layer) for layer in checked]


def test_the_glossary_has_every_word() -> None:
    words = {line.split("|")[1].strip() for line in TEXT["docs/glossary.md"].splitlines() if line.startswith("| ")}

    assert {
        "Job", "Step", "Model", "Route", "Attempt", "Ticket", "Artefact", "Outcome", "Ledger", "Dispatcher", "Gateway", "Twin",
        "Row", "Stage", "State", "Piece", "Claim", "Lease", "Fence", "Signal", "Accept", "Advance", "Close",
    } <= words  # fmt: skip


def test_the_examples_of_adding_are_taken_as_they_stand(tmp_path: Path) -> None:
    whole = (ROOT / "config/catalogue.toml").read_text(encoding="utf-8")
    stanzas = [stanza for stanza in blocks(TEXT["docs/adding.md"], "toml") if stanza not in whole]
    (tmp_path / "catalogue.toml").write_text("\n".join([whole, *stanzas]), encoding="utf-8")
    catalogue = load_catalogue(tmp_path / "catalogue.toml")

    assert [catalogue.find(name).name for name in ("krea", "gpt-image-2-dress", "swatch")] == [
        "flux-krea",
        "gpt-image-2-dress",
        "swatch",
    ]


def test_the_pictures_are_drawings_that_a_browser_can_read() -> None:
    for page, text in TEXT.items():
        for name in re.findall(r"\]\((\S+\.svg)\)", text):
            drawing = ((ROOT / page).parent / name).read_text(encoding="utf-8")
            assert "prefers-color-scheme: dark" in drawing and "<title" in drawing
            minidom.parseString(drawing)
