"""The contract of ``import PhysMRISynthLib as pms``: these names and parameters, at no cost; a change here is one for users."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import PhysMRISynthLib as pms

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = {
    "estimate": "t1w=None, t2w=None, flair=None, *, protocols=None, field_strength=None, reference=None, register=None, spacing=None, "
    "prior='auto', device='auto', allow_contrast_agent=False, weights=None, out=None, overwrite=False, progress",
    "load_maps": "folder",
    "save_maps": "maps, folder, *, overwrite=False",
    "render": "maps, protocol, *, snr=None, seed=0, effects=None, out=None, overwrite=False",
    "sample": "seed=0, *, condition=None, field_strength=3.0, steps=30, attempts=6, attempt=1, skull_stripped=False, "
    "guidance=1.0, device='auto', weights=None, progress",
    "sample_conditions": "weights=None",
    "posterior": "folder, count=20, *, seed=0",
    "export_dicom": "maps, folder, *, protocols=(), source=None, overwrite=False, snr=None, seed=0, effects=None",
    "presets": "",
}
CLASSES = ("Estimate", "PhysMRISynthError", "Protocol", "SampledHead", "ScannerEffects", "TissueMaps")
LONGEST_IMPORT_S = 0.05
"""Of processor time, which other jobs on the machine do not lengthen."""
HEAVY = ("numpy", "SimpleITK", "torch", "scipy", "PhysMRISynthLib.api")


def parameters(name: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(getattr(pms, name)).parameters)


def section(docstring: str, title: str) -> str:
    """A section of a numpydoc docstring, up to the next one."""
    found = re.search(rf"^{title}\n-{{{len(title)}}}\n(.*?)(?=^\w+\n-+\n|\Z)", docstring, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def test_the_names_are_these() -> None:
    assert sorted(pms.__all__) == sorted([*FUNCTIONS, *CLASSES])
    assert set(pms.__all__) <= set(dir(pms))
    assert [name for name in CLASSES if not inspect.isclass(getattr(pms, name))] == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_parameters_are_these(name: str) -> None:
    shown: list[str] = []
    for parameter in parameters(name).values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in shown:
            shown.append("*")
        plain = parameter.default is parameter.empty or callable(parameter.default)
        shown.append(parameter.name if plain else f"{parameter.name}={parameter.default!r}")
    assert ", ".join(shown) == FUNCTIONS[name]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_result_and_error_is_documented(name: str) -> None:
    function = getattr(pms, name)
    text = inspect.getdoc(function) or ""
    documented = re.findall(r"^(\w[\w, ]*)$", section(text, "Parameters"), re.MULTILINE)
    assert [entry for line in documented for entry in line.split(", ")] == list(parameters(name))
    returns = inspect.signature(function).return_annotation != "None"
    assert bool(section(text, "Returns")) == returns
    assert section(text, "Raises") or name == "presets"


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'estimates'"):
        _ = pms.estimates


def test_the_import_costs_nothing() -> None:
    script = (
        "import sys, time\nbegan = time.process_time()\nimport PhysMRISynthLib\nprint(time.process_time() - began)\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\nassert not loaded, loaded\n"
        "assert PhysMRISynthLib.Protocol.of('se').sequence.name == 'se' and 'torch' not in sys.modules\n"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'PhysMRISynth')!r})\n{script}"]
    seconds = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(3)]
    assert min(seconds) < LONGEST_IMPORT_S
