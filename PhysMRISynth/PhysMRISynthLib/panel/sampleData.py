"""Public scans for Slicer's Sample Data module: downloaded from where they are published when somebody clicks there."""

from __future__ import annotations

import importlib

from ..mrml.sampleScans import SAMPLES, nodeName

_CATEGORY = "PhysMRISynth"
_PUBLISHED = "https://raw.githubusercontent.com/muschellij2/open_ms_data/65704901f60650824565aa5a4818611aa89716f4/"
"""open_ms_data (CC-BY) at a fixed commit."""
NAMES = {"MS12": "MS patient, 1.5 T", "MS07": "MS patient, 3 T"}
"""What scripts download the sets by, and therefore the same in every language."""


def registerSampleData(address: str = _PUBLISHED) -> None:
    """Offer the scans below ``address`` in Slicer's Sample Data module, which takes each of them once; downloads nothing."""
    logic = importlib.import_module("SampleData").SampleDataLogic
    if hasattr(logic, "registerCustomSampleDataCategory"):  # Slicer 5.11 and later
        logic.registerCustomSampleDataCategory(_CATEGORY, title="PhysMRISynth")
    for name, scans in SAMPLES.items():
        logic.registerCustomSampleDataSource(
            category=_CATEGORY,
            sampleName=NAMES[name],
            uris=[address + scan.path for scan in scans.values()],
            fileNames=[f"PhysMRISynth-{name}-{contrast}.nii.gz" for contrast in scans],
            nodeNames=[nodeName(name, contrast) for contrast in scans],
            checksums=[f"SHA256:{scan.sha256}" for scan in scans.values()],
        )
