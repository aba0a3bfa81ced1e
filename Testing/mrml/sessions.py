"""A visit's files to load, and the volumes that are in the scene."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer


def visit(folder: Path, **sidecars: dict[str, Any]) -> Path:
    """A BIDS visit whose images carry these sidecars; its folder."""
    names = {"t1w": "T1w", "t2w": "T2w", "flair": "FLAIR"}
    anat = folder / "sub-1" / "ses-1" / "anat"
    anat.mkdir(parents=True)
    ramp = sitk.GetImageFromArray(np.arange(24 * 26 * 28, dtype=np.float32).reshape(24, 26, 28))
    ramp.SetSpacing((6.0, 6.0, 7.0))
    for role, fields in sidecars.items():
        sitk.WriteImage(ramp, str(anat / f"sub-1_ses-1_{names[role]}.nii.gz"))
        (anat / f"sub-1_ses-1_{names[role]}.json").write_text(json.dumps(fields), encoding="utf-8")
    return anat.parent


def volumes() -> list[str]:
    """The names of the scalar volumes."""
    return sorted(node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))
