"""Slicer's Python where there is no Slicer: `install(slicer)` completes slicer-core's package ``slicer`` with what scripted modules use.

Where the environment variable SLICER_PYTHON_DIR names the folder Base/Python of Slicer's sources, Slicer's own ScriptedLoadableModule,
parameterNodeWrapper, i18n and packaging are used; otherwise the small stand-ins of this package. The application, the module manager's
entries, the file readers and the dialogs of slicer.util are stand-ins either way. Qt is not needed; a test that drives a panel installs
its doubles of qt, ctk and the qMRML widgets first.
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from . import application, dialogs, files, no_qt, segment_statistics

_ENTRY = Path(__file__).resolve().parents[2] / "PhysMRISynth" / "PhysMRISynth.py"
_OWN = {"ScriptedLoadableModule": "scripted_module", "i18n": "i18n", "parameterNodeWrapper": "parameter_node"}
"""Slicer's modules and the stand-ins here."""


@dataclass(frozen=True)
class Standins:
    """What a test looks at: the application (its signals) and what the dialogs were asked."""

    app: application.Application
    dialogs: dialogs.Dialogs


def install(slicer: Any, scene: Any = None, logic: Any = None) -> Standins:
    """Complete the package ``slicer``; may be called again, which starts with fresh records.

    Args:
        slicer: slicer-core's package.
        scene: becomes ``slicer.mrmlScene``; None keeps the present scene, or makes an empty one where there is none.
        logic: the application logic of that scene, with the logics of the modules Tables and Plots; without it there are no views.
    """
    slicer.mrmlScene = scene or getattr(slicer, "mrmlScene", None) or slicer.vtkMRMLScene()
    slicer.app = application.Application(slicer.mrmlScene, logic)
    slicer.selfTests = {}
    if not hasattr(slicer, "modules"):
        slicer.modules, slicer.moduleNames = SimpleNamespace(), SimpleNamespace()
    slicer.modules.physmrisynth = SimpleNamespace(path=str(_ENTRY), name="PhysMRISynth")
    slicer.moduleNames.PhysMRISynth = "PhysMRISynth"
    for name in ("Tables", "Plots", "Volumes"):
        setattr(slicer.modules, name.lower(), SimpleNamespace(logic=partial(logic.GetModuleLogic, name) if logic else None))
    segment_statistics.install(slicer)
    source = os.environ.get("SLICER_PYTHON_DIR")
    _use_slicers_own(slicer, Path(source) / "slicer") if source else _use_standins(slicer)
    slicer.util.loadVolume = partial(files.loadVolume, slicer)
    asked = dialogs.Dialogs(slicer.app.testingEnabled)
    asked.install(slicer.util)
    return Standins(slicer.app, asked)


def _use_slicers_own(slicer: Any, folder: Path) -> None:
    if not (folder / "ScriptedLoadableModule.py").is_file():
        raise FileNotFoundError(f"SLICER_PYTHON_DIR: {folder} is no folder of Slicer's Python; name Base/Python of Slicer's sources.")
    if str(folder) not in slicer.__path__:
        slicer.__path__.append(str(folder))
    no_qt.install(slicer)
    for name in _OWN:
        setattr(slicer, name, importlib.import_module(f"slicer.{name}"))


def _use_standins(slicer: Any) -> None:
    for name, standin in _OWN.items():
        module = sys.modules[f"slicer.{name}"] = importlib.import_module(f"{__name__}.{standin}")
        setattr(slicer, name, module)
