"""Imports point downwards only, and heavy packages are imported only where they are needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "PhysMRISynthLib"
ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "PhysMRISynth" / PACKAGE
MODULES = sorted(path.relative_to(LIBRARY) for path in LIBRARY.rglob("*.py"))

BELOW = {
    "errors": set(),
    "resources": set(),
    "physics": set(),
    "imaging": {"physics"},
    "network": {"physics"},
    "fitting": {"physics"},
    "workflow": {"imaging", "network", "fitting", "physics"},
    "training": {"workflow", "imaging", "network", "fitting", "physics"},
    "mrml": {"workflow", "imaging", "network", "fitting", "physics"},
    "panel": {"mrml", "workflow", "imaging", "network", "fitting", "physics"},
    "api": {"workflow", "imaging", "physics"},
    "cli": {"workflow", "training", "imaging", "network", "fitting", "physics"},
}
"""What each part of the library may import besides itself and what is free for all."""
FREE = {"errors", "resources", ""}
"""Free for all; "" is the package itself, whose ``__init__`` imports nothing."""

HEAVY = {"torch", "monai", "safetensors", "lightning", "pydicom", "highdicom", "dask", "distributed", "matplotlib", "tqdm", "nilearn",
         "scipy", "jinja2"}  # fmt: skip
"""Packages that only network and training import at module scope, so that opening the panel and rendering need none of them."""
SLICER = {"slicer", "vtk", "qt", "ctk"}
"""What only the Slicer-facing parts may import."""


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


def layer_violations(source: str, path: Path) -> list[str]:
    """Imports from parts of the library that this file must not know."""
    part = part_of(path)
    allowed = BELOW.get(part, set()) | FREE | {part}
    names = (name.split(".") for name in imported_names(ast.parse(source), path))
    inside = {name[1] for name in names if name[0] == PACKAGE and len(name) > 1}
    return sorted(other for other in inside if other in BELOW and other not in allowed)


def outside_violations(source: str, path: Path) -> list[str]:
    """Packages imported where they have no place."""
    part = part_of(path)
    everywhere = {name.split(".")[0] for name in imported_names(ast.parse(source), path)}
    at_once = {name.split(".")[0] for name in imported_names(at_module_scope(ast.parse(source)), path)}
    wrong = set() if part in ("mrml", "panel") else everywhere & SLICER
    if part not in ("network", "training"):
        wrong |= at_once & HEAVY
    if part == "physics":
        wrong |= everywhere - set(sys.stdlib_module_names) - {"numpy", "scipy", PACKAGE}
    return sorted(wrong)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_downwards(path: Path) -> None:
    assert part_of(path) in {*BELOW, ""}, f"{path}: give the new part its place in this test's table"
    assert not layer_violations((LIBRARY / path).read_text(encoding="utf-8"), path)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_heavy_packages_stay_where_they_are_needed(path: Path) -> None:
    assert not outside_violations((LIBRARY / path).read_text(encoding="utf-8"), path)


def test_importing_the_library_needs_no_heavy_package() -> None:
    """As above, but through everything that an import drags in."""
    names = [".".join([PACKAGE, *path.with_suffix("").parts]).removesuffix(".__init__") for path in MODULES]
    light = [name for name in names if name.split(".")[1:2] not in (["network"], ["training"], ["mrml"], ["panel"])]
    script = (
        "import importlib, sys\n"
        f"for name in {light!r}:\n"
        "    importlib.import_module(name)\n"
        f"    loaded = sorted({HEAVY!r} & set(sys.modules))\n"
        "    assert not loaded, f'{name} loads {loaded}'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=LIBRARY.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", [*LIBRARY.rglob("*.py"), LIBRARY.parent / "PhysMRISynth.py", ROOT / "dev.py"], ids=lambda path: path.name)
def test_files_are_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 400


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("physics/a.py", "from ..fitting import fit", ["fitting"]),
        ("physics/a.py", "from .. import workflow", ["workflow"]),
        ("physics/a.py", "from PhysMRISynthLib.imaging.volumes import read", ["imaging"]),
        ("imaging/a.py", "import PhysMRISynthLib.network.encoder", ["network"]),
        ("workflow/a.py", "def f():\n    from ..training import atlas", ["training"]),
        ("workflow/a.py", "from ..mrml.nodes import write", ["mrml"]),
        ("errors.py", "from .physics import dual", ["physics"]),
        ("__init__.py", "from .physics import dual", ["physics"]),
        ("workflow/a.py", "from ..physics import dual\nfrom ..errors import ImageError\nfrom .. import __version__\nfrom . import b", []),
        ("cli.py", "from .workflow import estimate\nfrom . import __version__", []),
    ],
)
def test_upward_imports_are_seen(path: str, source: str, found: list[str]) -> None:
    assert layer_violations(source, Path(path)) == found


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
