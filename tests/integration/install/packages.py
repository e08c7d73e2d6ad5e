"""A few packages shaped like the real ones: one asks for an extra that the lock does not name."""

from pathlib import Path

from tests.integration.install.index import lock_of, write_wheel

# What `pip install --editable` asks of a build backend: the project's own wheel.
BACKEND = """
import zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "kilnhand-0.1-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as archive:
        archive.writestr("kilnhand-0.1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: kilnhand\\nVersion: 0.1\\n")
        archive.writestr("kilnhand-0.1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("kilnhand-0.1.dist-info/RECORD", "")
    return name
"""
LOCKED = {"client": "1.0", "google-auth": "2.56", "transport": "2.0", "builder": "1.0"}


def write_packages(folder: Path) -> str:
    """The locked wheels and a newer one of each that would do as well; gives the lock."""
    folder.mkdir()
    client = ["Requires-Dist: google-auth[requests]<3,>=2.56"]
    auth = ["Provides-Extra: requests", "Requires-Dist: transport>=2; extra == 'requests'"]
    lock = lock_of(
        [
            write_wheel(folder, "client", LOCKED["client"], client),
            write_wheel(folder, "google-auth", LOCKED["google-auth"], auth),
            write_wheel(folder, "transport", LOCKED["transport"]),
            write_wheel(folder, "builder", LOCKED["builder"], files={"builder.py": BACKEND}),
        ]
    )
    for name, version in LOCKED.items():
        write_wheel(folder, name, f"{version}.1", {"client": client, "google-auth": auth}.get(name, ()))
    return lock
