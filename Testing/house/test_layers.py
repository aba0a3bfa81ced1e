"""Imports point downwards only, and heavy packages are imported only where they are needed."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "PhysMRISynthLib"
ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "PhysMRISynth" / PACKAGE
MODULES = sorted(path.relative_to(LIBRARY) for path in LIBRARY.rglob("*.py"))

HEAVY = {"torch", "monai", "safetensors", "lightning", "pydicom", "highdicom", "dask", "distributed", "matplotlib", "tqdm", "nilearn",
         "scipy", "jinja2"}  # fmt: skip
"""Packages that only the network imports at module scope, so that opening the panel and rendering need none of them."""
SLICER = {"slicer", "vtk", "qt", "ctk"}
"""What only the Slicer-facing parts may import."""


MOST_LINES = 400


def linted(root: Path) -> subprocess.CompletedProcess[str]:
    """What import-linter says of the library below ``root``."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache"]
    paths = os.pathsep.join(str(root / name) for name in ("PhysMRISynth", "Training"))
    environment = os.environ | {"PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, encoding="utf-8", check=False)


def part_of(path: Path) -> str:
    """``physics`` for physics/dual.py, ``cli`` for cli.py, "" for the package's own ``__init__``."""
    return path.parts[0].removesuffix(".py").replace("__init__", "")


def imported_names(tree: ast.AST, path: Path) -> Iterator[str]:
    """The absolute dotted name of everything that ``tree`` imports, anywhere in it."""
    package = [PACKAGE, *path.parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def at_module_scope(tree: ast.Module) -> ast.Module:
    """The module without what runs later or never: functions and blocks for type checkers."""

    class Prune(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
            return None

        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if ast.unparse(node.test).endswith("TYPE_CHECKING") else self.generic_visit(node)

    return Prune().visit(tree)


def outside_violations(source: str, path: Path) -> list[str]:
    """Packages imported where they have no place."""
    part = part_of(path)
    everywhere = {name.split(".")[0] for name in imported_names(ast.parse(source), path)}
    at_once = {name.split(".")[0] for name in imported_names(at_module_scope(ast.parse(source)), path)}
    wrong = set() if part in ("mrml", "panel") else everywhere & SLICER
    if part != "network":
        wrong |= at_once & HEAVY
    if part == "physics":
        wrong |= everywhere - set(sys.stdlib_module_names) - {"numpy", "scipy", PACKAGE}
    return sorted(wrong)


def test_imports_point_downwards_in_no_circle() -> None:
    """The contracts of import-linter in pyproject.toml."""
    done = linted(ROOT)
    assert done.returncode == 0, done.stdout


def test_heavy_packages_stay_where_they_are_needed() -> None:
    sources = {path: (LIBRARY / path).read_text(encoding="utf-8") for path in MODULES}
    assert {str(path): found for path, source in sources.items() if (found := outside_violations(source, path))} == {}


def test_importing_the_library_needs_no_heavy_package() -> None:
    """As above, but through everything that an import drags in."""
    names = [".".join([PACKAGE, *path.with_suffix("").parts]).removesuffix(".__init__") for path in MODULES]
    light = [name for name in names if name.split(".")[1:2] not in (["network"], ["mrml"], ["panel"])]
    script = (
        "import importlib, sys\n"
        f"for name in {light!r}:\n"
        "    importlib.import_module(name)\n"
        f"    loaded = sorted({HEAVY!r} & set(sys.modules))\n"
        "    assert not loaded, f'{name} loads {loaded}'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=LIBRARY.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_files_are_read_in_one_sitting() -> None:
    paths = [
        *LIBRARY.rglob("*.py"),
        *(ROOT / "Training").rglob("*.py"),
        LIBRARY.parent / "PhysMRISynth.py",
        ROOT / "dev.py",
        ROOT / "release.py",
    ]
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert {name: count for name, count in lines.items() if count >= MOST_LINES} == {}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library's sources and contracts, to be spoilt."""
    root = tmp_path_factory.mktemp("copy")
    for folder in ("PhysMRISynth/PhysMRISynthLib", "Training/physmrisynth_training"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("resources", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("physics/contrast.py", "from ..fitting import check"),
        ("imaging/head/masks.py", "import PhysMRISynthLib.network.config"),
        ("workflow/rendering/render.py", "def f():\n    import physmrisynth_training.commands"),
        ("workflow/rendering/render.py", "from ..results import outputs"),
        ("imaging/intake/volumes.py", "from ..head import atlas"),
        ("workflow/rendering/render.py", "from ...mrml import views"),
        ("cli/about.py", "from .. import api"),
        ("errors.py", "from .physics import dual"),
        ("physics/dual.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .protocol import Protocol"),
        ("workflow/rendering/render.py", "def f():\n    import slicer"),
    ],
)
def test_imports_in_the_wrong_direction_are_seen(path: str, line: str, copy: Path) -> None:
    file = copy / "PhysMRISynth" / PACKAGE / path
    before = file.read_text(encoding="utf-8")
    file.write_text(f"{before}\n{line}\n", encoding="utf-8")
    done = linted(copy)
    file.write_text(before, encoding="utf-8")
    assert done.returncode == 1 and "BROKEN" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("physics/a.py", "def f():\n    import torch", ["torch"]),
        ("physics/a.py", "import SimpleITK", ["SimpleITK"]),
        ("fitting/a.py", "import torch.nn", ["torch"]),
        ("fitting/a.py", "class A:\n    from torch import nn", ["torch"]),
        ("fitting/a.py", "try:\n    import torch\nexcept ImportError:\n    torch = None", ["torch"]),
        ("fitting/a.py", "def f():\n    import torch", []),
        ("fitting/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch", []),
        ("network/a.py", "import torch", []),
        ("workflow/a.py", "def f():\n    import slicer", ["slicer"]),
        ("mrml/a.py", "import slicer, vtk", []),
    ],
)
def test_misplaced_packages_are_seen(path: str, source: str, found: list[str]) -> None:
    assert outside_violations(source, Path(path)) == found
