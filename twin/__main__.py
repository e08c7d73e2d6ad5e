"""`python -m twin`: runs the twin on a port."""

import argparse

from twin.app import create_app
from twin.pace import Pace
from twin.server import serve


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="twin", description="A local imitation of fal.ai, Google and Anthropic.")
    parser.add_argument("--port", type=int, default=9100, help="0 picks a free port (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--public-url", help="base of all URLs in answers (default: the address that the caller used)")
    parser.add_argument("--concurrency", type=int, help="concurrent runs of one account (default: 40)")
    parser.add_argument(
        "--pace", type=float, metavar="SECONDS", help="duration of a run of any model (default: by the kind of model)"
    )
    parser.add_argument("--any-endpoint", action="store_true", help="accept ids that are not in the twin's list")
    given = parser.parse_args(arguments)
    pace = Pace(**{k: v for k, v in {"seconds": given.pace, "concurrency": given.concurrency}.items() if v is not None})
    app = create_app(public_url=given.public_url, pace=pace, any_endpoint=given.any_endpoint)
    serve(given.host, given.port, app=app)


if __name__ == "__main__":
    main()
