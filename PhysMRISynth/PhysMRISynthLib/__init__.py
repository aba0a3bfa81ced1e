"""PhysMRISynth: tissue maps (PD, T1, T2) from ordinary MR images, and any contrast from tissue maps.

``import PhysMRISynthLib as pms`` gives the public names in ``__all__``, each imported when it is first used; all other modules are
internal and may change with any version. Layers, imports pointing downwards only: ``api``, ``cli``, ``mrml`` → ``workflow`` →
``fitting``, ``imaging``, ``network`` → ``headers`` → ``physics``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from .api import estimate, export_dicom, load_maps, posterior, presets, render, sample, save_maps
    from .errors import PhysMRISynthError
    from .imaging.tissue_maps import TissueMaps
    from .physics.protocol import Protocol
    from .workflow.estimation.estimate import Estimate
    from .workflow.rendering.scanner_effects import ScannerEffects
    from .workflow.sampling.conditions import sample_conditions
    from .workflow.sampling.sample import SampledHead

_HOMES = {
    "Estimate": "workflow.estimation.estimate",
    "PhysMRISynthError": "errors",
    "Protocol": "physics.protocol",
    "SampledHead": "workflow.sampling.sample",
    "ScannerEffects": "workflow.rendering.scanner_effects",
    "TissueMaps": "imaging.tissue_maps",
    "sample_conditions": "workflow.sampling.conditions",
}
"""The modules of the public names that are not functions of ``api``."""

__all__ = [
    "Estimate", "PhysMRISynthError", "Protocol", "SampledHead", "ScannerEffects", "TissueMaps",
    "estimate", "export_dicom", "load_maps", "posterior", "presets", "render", "sample", "sample_conditions",
    "save_maps",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used. Raises AttributeError for other names."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(import_module(f".{_HOMES.get(name, 'api')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted({*globals(), *__all__})
