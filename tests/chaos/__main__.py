"""`python -m tests.chaos`: a chaos run, its sweep over crash points, or a run without one of the safeties."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos import sabotage, source


def main(words: list[str]) -> int:
    """Copy the source, and run from the copy. Exit status: 0 when every promise holds, 1 when not, 130 for Ctrl-C."""
    if source.INSIDE in os.environ:
        return _inside(words)
    options = _options(words)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="kilnhand-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    copy = source.copy_to(folder / "source")
    if options.without:
        sabotage.apply(copy, options.without)
    source.probe(copy)
    status = source.run_from(copy, [*words, "--folder", str(folder)])
    if status == 0 and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return status


def _inside(words: list[str]) -> int:
    options = _options(words)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    source.end_with_parent()
    try:
        if options.sweep:
            from tests.chaos.sweep import sweep

            return 0 if sweep(options.folder) else 1
        from tests.chaos.run import run

        return 0 if run(_run_options(options)) else 1
    except KeyboardInterrupt:
        print("stopped; everything is ended", flush=True)
        return 130


def _run_options(options: argparse.Namespace):  # type: ignore[no-untyped-def]
    from tests.chaos import plan
    from tests.chaos.run import SENDING, Options

    seconds = options.minutes * 60 * SENDING
    scale = plan.Scale(
        seconds, options.workers, long_too=options.minutes >= 10, **sabotage.FAVOURED.get(options.without, {})
    )
    return Options(
        options.seed,
        options.jobs,
        options.minutes,
        options.workers,
        options.folder,
        scale,
        options.keep,
        options.without,
    )


def _options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=300, help="at least so many")
    parser.add_argument("--minutes", type=float, default=2.0, help="until the last job should have ended")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--without", choices=sorted(sabotage.PATCHES), help="take a safety away; the run must fail")
    parser.add_argument("--sweep", action="store_true", help="crash a worker at every crash point instead")
    parser.add_argument("--folder", type=Path, help="for logs and histories, which are kept when the run fails")
    parser.add_argument("--keep", action="store_true", help="keep logs and histories of a good run too")
    return parser.parse_args(words)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # Celery's results would look for their Redis while Python shuts down
