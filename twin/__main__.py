"""`python -m twin`: the twin on a port."""

import argparse

from twin.app import create_app
from twin.pace import Pace
from twin.server import serve


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and serve until told to stop."""
    parser = argparse.ArgumentParser(prog="twin", description="A local stand-in for fal.ai, Google and Anthropic.")
    parser.add_argument("--port", type=int, default=9100, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--public-url", help="address to write into answers, if callers use another than they should get"
    )
    parser.add_argument("--concurrency", type=int, help="runs at once for one account (default: 40)")
    parser.add_argument(
        "--pace", type=float, metavar="SECONDS", help="time of a run of any model (default: usual for its kind)"
    )
    given = parser.parse_args(arguments)
    pace = Pace(**{k: v for k, v in {"seconds": given.pace, "concurrency": given.concurrency}.items() if v is not None})
    serve(given.host, given.port, app=create_app(public_url=given.public_url, pace=pace))


if __name__ == "__main__":
    main()
