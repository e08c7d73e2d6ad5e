"""Tasks may be imported in several threads at once, by the paths that the docs and our own modules use.

Python raises `_DeadlockError` when one thread imports `tasks.editing`, whose `__init__` imports `inpainting`, while
another imports `tasks.editing.inpainting`: each holds the lock that the other needs. So what a package imports itself
is imported through the package.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = [path.parent for path in sorted((ROOT / "tasks").rglob("__init__.py"))]
OURS = [*(ROOT / "tasks").rglob("*.py"), *(ROOT / "worker").rglob("*.py"), *(ROOT / "config").rglob("*.py")]
DOCS = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
IMPORT = re.compile(r"^ *from (tasks[\w.]*) import", re.MULTILINE)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def file_of(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imported(path: Path) -> Iterator[str]:
    """The modules of `tasks` that a module imports, in their order."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tasks"):
            assert node.module
            yield node.module
            yield from (name for alias in node.names if file_of(name := f"{node.module}.{alias.name}").exists())


def own_parts(package: Path) -> set[str]:
    """The modules of a package that its import brings."""
    name = name_of(package / "__init__.py")
    found, left = set[str](), [*imported(package / "__init__.py")]
    while left:
        module = left.pop()
        if module.startswith(f"{name}.") and module not in found:
            found.add(module)
            left += imported(file_of(module))
    return found


@pytest.mark.parametrize("package", PACKAGES, ids=name_of)
def test_what_a_package_imports_is_imported_through_it(package: Path) -> None:
    name, parts = name_of(package / "__init__.py"), own_parts(package)
    outside = [path for path in OURS if package not in path.parents]
    by_ours = {name_of(path): [*imported(path)] for path in outside}
    by_docs = {path.name: IMPORT.findall(path.read_text(encoding="utf-8")) for path in DOCS}

    for where, modules in (by_ours | by_docs).items():
        for place, module in enumerate(modules):
            assert module not in parts or name in modules[:place], f"{where} imports {module}: import {name} first"


def test_the_check_finds_the_parts_of_a_package() -> None:
    assert {"tasks.editing.inpainting", "tasks.editing.masks"} <= own_parts(ROOT / "tasks/editing")
    assert "tasks.editing.compositing" not in own_parts(ROOT / "tasks/editing")
