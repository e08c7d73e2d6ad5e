"""A package index on this machine (PEP 503), the wheels in it, and a lock of some of them."""

import hashlib
import re
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def write_wheel(
    folder: Path, name: str, version: str, headers: Iterable[str] = (), files: Mapping[str, str] | None = None
) -> Path:
    """A wheel for every platform; `headers` are more lines of its METADATA."""
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *headers, ""])
    content = {
        **(files or {f"{name.replace('-', '_')}_files.py": f"VERSION = {version!r}\n"}),
        f"{stem}.dist-info/METADATA": metadata,
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in content.items():
            archive.writestr(file, text)
        record = "".join(f"{file},,\n" for file in [*content, f"{stem}.dist-info/RECORD"])
        archive.writestr(f"{stem}.dist-info/RECORD", record)
    return path


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def lock_of(wheels: Iterable[Path]) -> str:
    """The wheels as a lock names them: no extras, one hash each."""
    lines = []
    for wheel in wheels:
        name, version = wheel.name.split("-")[:2]
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        lines.append(f"{normalized(name)}=={version} \\\n    --hash=sha256:{digest}\n")
    return "".join(lines)


@contextmanager
def serve(folder: Path, before: Callable[[str], Any] = lambda path: None) -> Iterator[str]:
    """Serve the wheels in `folder`; gives the index's URL. `before` is called with the path of each request."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def do_GET(self) -> None:
            before(self.path)
            if not self.path.startswith("/simple/"):
                super().do_GET()
                return
            wanted = self.path.split("/")[2]
            files = [path.name for path in folder.iterdir() if normalized(path.name.split("-")[0]) == wanted]
            page = "".join(f'<a href="/{name}">{name}</a>\n' for name in sorted(files)).encode()
            self.send_response(200 if files else 404)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *args: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()
