"""`python -m tests.chaos`: a chaos run, a sweep over all crash points, or a run with one safety removed."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos import sabotage, source_copy

OLD_FOLDER = "old"


def main(words: list[str]) -> int:
    """Copy the source and run from the copy. Exit status: 0 if all promises hold, 1 if not, 130 for Ctrl-C."""
    if source_copy.COPY_VARIABLE in os.environ:
        return _run_in_copy(words)
    options = _options(words)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="kilnhand-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    copy = source_copy.copy_to(folder / "source")
    if options.without:
        sabotage.apply(copy, options.without)
    source_copy.check_imports(copy)
    if options.old:
        source_copy.check_imports(source_copy.archive_to(options.old, folder / OLD_FOLDER))
    status = source_copy.run_from(copy, [*words, "--folder", str(folder)])
    if status == 0 and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return status


def _run_in_copy(words: list[str]) -> int:
    options = _options(words)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore SIGINT
    source_copy.stop_with_parent()
    try:
        if options.sweep:
            from tests.chaos.crash_sweep import sweep

            return 0 if sweep(options.folder) else 1
        from tests.chaos.run import run

        return 0 if run(_run_options(options)) else 1
    except KeyboardInterrupt:
        print("stopped; all processes have ended", flush=True)
        return 130


def _run_options(options: argparse.Namespace):  # type: ignore[no-untyped-def]
    from tests.chaos import plan
    from tests.chaos.run import SENDING_SHARE, Options
    from tests.chaos.versions import OLD_SCALE

    changes = {**sabotage.SCALE_CHANGES.get(options.without, {}), **(OLD_SCALE if options.old else {})}
    seconds = options.minutes * 60 * SENDING_SHARE
    scale = plan.Scale(seconds, options.workers, long_too=options.minutes >= 10, **changes)
    old = options.folder / OLD_FOLDER if options.old else None
    return Options(
        options.seed, options.jobs, options.minutes, options.workers, options.folder, scale, options.keep,
        options.without, options.old, old,
    )  # fmt: skip


def _options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=300, help="the least number of jobs")
    parser.add_argument("--minutes", type=float, default=2.0, help="time in which the jobs are sent and end")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--without", choices=sorted(sabotage.PATCHES), help="remove a safety; the run must fail")
    parser.add_argument("--old", metavar="COMMIT", help="run old and new versions side by side")
    parser.add_argument("--sweep", action="store_true", help="crash a worker at every crash point instead")
    parser.add_argument("--folder", type=Path, help="folder of logs and histories; kept if the run fails")
    parser.add_argument("--keep", action="store_true", help="keep logs and histories of a successful run, too")
    return parser.parse_args(words)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # else Celery's results connect to Redis while Python shuts down
