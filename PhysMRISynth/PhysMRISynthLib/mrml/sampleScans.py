"""The published scans that Slicer's Sample Data module offers, and their protocols.

The published files have no header, and Sample Data removes the storage node of what it loads: such a volume is known by its name and size.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..imaging.intake.sidecar import read_sidecar

_SIDECARS = Path(__file__).parents[2] / "Resources" / "SampleData"
_MNI = "N4_noneck_reduced_winsor_regtoFLAIR_brain_N4_regtoMNI"


@dataclass(frozen=True)
class SampleScan:
    """One published file: its address below open_ms_data, its SHA-256, and the ``size`` of its grid (i, j, k)."""

    path: str
    sha256: str
    size: tuple[int, int, int]


SAMPLES: dict[str, dict[str, SampleScan]] = {
    "MS12": {
        "T1w": SampleScan(
            "longitudinal/raw/patient12/study1_T1W.nii.gz",
            "3decf392b656b41af1ff107fe34aeba8e66fdf23eefc8656dc8804ff62f4e388",
            (256, 256, 48),
        ),
        "T2w": SampleScan(
            "longitudinal/raw/patient12/study1_T2W.nii.gz",
            "da2b3cedef895be66657fa2fb54867d7c67ef9ce05ba2233a540bd0b4aa7a6c8",
            (348, 384, 44),
        ),
        "FLAIR": SampleScan(
            "longitudinal/raw/patient12/study1_FLAIR.nii.gz",
            "c0c030d766062305d4f6215d2fe7706f995f98bb8234de246dd506cdcbda2734",
            (320, 320, 48),
        ),
    },
    "MS07": {
        "T1w": SampleScan(
            f"cross_sectional/MNI/patient07/T1_{_MNI}.nii.gz",
            "0d9e0c933140e64ba42931f5ed7aece2a7cc7001fe6c8d753720c487f5e1b8b1",
            (182, 218, 182),
        ),
        "T2w": SampleScan(
            f"cross_sectional/MNI/patient07/T2_{_MNI}.nii.gz",
            "272765a0f017d34d51de97690dd33495ce0191d04671be648bf2bc117bd4c4d7",
            (182, 218, 182),
        ),
        "FLAIR": SampleScan(
            f"cross_sectional/MNI/patient07/FLAIR_{_MNI}.nii.gz",
            "2f884f00d4e9cbca061a5fd2f988547df312d86194b331f4ca511cf852f775db",
            (182, 218, 182),
        ),
    },
}
"""By data set and contrast; the sums are those of the published files."""


def nodeName(name: str, contrast: str) -> str:
    """What the volume node of a sample scan is called."""
    return f"{name} {contrast}"


def sampleFields(node: Any) -> tuple[dict[str, Any], str] | None:
    """The protocol that the publication states for a sample scan (BIDS fields), and the name of that source; None for any other volume."""
    given = re.sub(r"_\d+$", "", node.GetName() or "")  # Slicer numbers what is loaded again
    size = node.GetImageData().GetDimensions() if node.GetImageData() else None
    for name, scans in SAMPLES.items():
        for contrast, scan in scans.items():
            if given == nodeName(name, contrast) and size == scan.size:
                sidecar = _SIDECARS / f"{name}-{contrast}.json"
                return read_sidecar(sidecar), f"publication ({sidecar.name})"
    return None
