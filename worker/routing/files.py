"""How the files of a step reach a route: inside the call, or fetched by the provider. Pure."""

from config.model import Route
from worker.jobs.file_arguments import FileArgument, file_arguments
from worker.jobs.job import FileKind, Step

_IN_MEMORY: frozenset[FileKind] = frozenset({"image", "mask"})


def files_in_call(route: Route, step: Step) -> tuple[FileArgument, ...]:
    """The files that go inside the call, in the order in which a prompt counts them: that of `route.files`."""
    found = file_arguments(step)
    return tuple(file for name in route.files for file in found if file.parameter == name)


def pictures_to_fetch(route: Route, step: Step) -> tuple[FileArgument, ...]:
    """The pictures and masks that the provider fetches by itself. They are brought in memory where it cannot."""
    return tuple(file for file in _fetched(route, step) if file.kind in _IN_MEMORY)


def large_files_to_fetch(route: Route, step: Step) -> tuple[FileArgument, ...]:
    """The videos, sounds, weights and archives that the provider fetches by itself. They are brought by the disk."""
    return tuple(file for file in _fetched(route, step) if file.kind not in _IN_MEMORY)


def _fetched(route: Route, step: Step) -> list[FileArgument]:
    told = {name for name, value in step.arguments.items() if not route.problem(name, value)}
    return [file for file in file_arguments(step) if file.parameter in told and file.parameter not in route.files]
