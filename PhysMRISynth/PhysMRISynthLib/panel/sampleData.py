"""Public scans for Slicer's Sample Data module: downloaded from where they are published when somebody clicks there.

The scans have no headers, so that a sidecar with the protocol that their paper states comes with each, out of this module's own
resources: Sample Data takes a file's address like any other.
"""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path

_SIDECARS = Path(__file__).parents[2] / "Resources" / "SampleData"
_CATEGORY = "PhysMRISynth"
_PUBLISHED = "https://raw.githubusercontent.com/muschellij2/open_ms_data/65704901f60650824565aa5a4818611aa89716f4/"
"""open_ms_data (CC-BY) at a fixed commit."""
_MNI = "N4_noneck_reduced_winsor_regtoFLAIR_brain_N4_regtoMNI"


@dataclass(frozen=True)
class SampleScan:
    """One published file: its address below open_ms_data, and its SHA-256."""

    path: str
    sha256: str


SAMPLES: dict[str, dict[str, SampleScan]] = {
    "MS12": {
        "T1w": SampleScan(
            "longitudinal/raw/patient12/study1_T1W.nii.gz", "3decf392b656b41af1ff107fe34aeba8e66fdf23eefc8656dc8804ff62f4e388"
        ),
        "T2w": SampleScan(
            "longitudinal/raw/patient12/study1_T2W.nii.gz", "da2b3cedef895be66657fa2fb54867d7c67ef9ce05ba2233a540bd0b4aa7a6c8"
        ),
        "FLAIR": SampleScan(
            "longitudinal/raw/patient12/study1_FLAIR.nii.gz", "c0c030d766062305d4f6215d2fe7706f995f98bb8234de246dd506cdcbda2734"
        ),
    },
    "MS07": {
        "T1w": SampleScan(
            f"cross_sectional/MNI/patient07/T1_{_MNI}.nii.gz", "0d9e0c933140e64ba42931f5ed7aece2a7cc7001fe6c8d753720c487f5e1b8b1"
        ),
        "T2w": SampleScan(
            f"cross_sectional/MNI/patient07/T2_{_MNI}.nii.gz", "272765a0f017d34d51de97690dd33495ce0191d04671be648bf2bc117bd4c4d7"
        ),
        "FLAIR": SampleScan(
            f"cross_sectional/MNI/patient07/FLAIR_{_MNI}.nii.gz", "2f884f00d4e9cbca061a5fd2f988547df312d86194b331f4ca511cf852f775db"
        ),
    },
}
"""By data set and contrast; the sums are those of the published files."""
NAMES = {"MS12": "MS patient, 1.5 T", "MS07": "MS patient, 3 T"}
"""What scripts download the sets by, and therefore the same in every language."""


def registerSampleData() -> None:
    """Offer the scans in Slicer's Sample Data module; downloads nothing."""
    logic = importlib.import_module("SampleData").SampleDataLogic
    if hasattr(logic, "registerCustomSampleDataCategory"):  # Slicer 5.10 and later
        logic.registerCustomSampleDataCategory(_CATEGORY, title="PhysMRISynth")
    for name, scans in SAMPLES.items():
        sidecars = [_SIDECARS / f"{name}-{contrast}.json" for contrast in scans]
        sums = [*(hashlib.sha256(path.read_bytes()).hexdigest() for path in sidecars), *(scan.sha256 for scan in scans.values())]
        endings = [f"{contrast}{ending}" for ending in (".json", ".nii.gz") for contrast in scans]
        logic.registerCustomSampleDataSource(
            category=_CATEGORY,
            sampleName=NAMES[name],
            uris=[*(path.as_uri() for path in sidecars), *(_PUBLISHED + scan.path for scan in scans.values())],
            fileNames=[f"PhysMRISynth-{name}-{ending}" for ending in endings],
            nodeNames=[*(None for _path in sidecars), *(f"{name} {contrast}" for contrast in scans)],
            checksums=[f"SHA256:{digest}" for digest in sums],
        )
