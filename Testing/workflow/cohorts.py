"""BIDS data sets for the tests of cohorts, and quick work in place of an estimate, which other processes can import."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS, standard_acquisition
from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.intake.sidecar import sidecar_fields
from PhysMRISynthLib.imaging.intake.volumes import write_image
from PhysMRISynthLib.workflow.cohort.visit import Visit
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.orders import Order

LOG = "made.log"
SUFFIXES = ("T1map", "T2map", "PDmap")


def touch(root: Path, *visits: str) -> Path:
    """Visits such as 01 or 01/b with files that are there but empty."""
    for visit in visits:
        subject, _, session = visit.partition("/")
        labels = [f"sub-{subject}", *([f"ses-{session}"] if session else [])]
        folder = Path(root, *labels, "anat")
        folder.mkdir(parents=True, exist_ok=True)
        for role in ("T1w", "FLAIR"):
            (folder / f"{'_'.join(labels)}_{role}.nii.gz").touch()
    return root


def small_visit(anat: Path, name: str) -> None:
    """Scans of the small head with their sidecars."""
    maps = small_head().maps
    t1, t2 = (np.where(maps.mask, values, np.float32(1.0)) for values in (maps.t1, maps.t2))
    for role, image in standard_acquisition(replace(maps, t1=t1, t2=t2), np.random.default_rng(0)).items():
        suffix = {"t1w": "T1w", "t2w": "T2w", "flair": "FLAIR"}[role]
        write_image(image, anat / f"{name}_{suffix}.nii.gz")
        told = {**sidecar_fields(PROTOCOLS[role]), "MagneticFieldStrength": 3.0}
        (anat / f"{name}_{suffix}.json").write_text(json.dumps(told), encoding="utf-8")


def quick(visit: Visit, order: Order, root: Path, folder: Path) -> dict[str, Any]:
    """As an estimate does it, in a moment: files one after the other, a line in the log at the end. By the participant's label, it fails
    (bad), ends its process (killed) or has a mistake (mistake)."""
    for suffix in SUFFIXES:
        write_image(sitk.Image(8, 8, 8, sitk.sitkFloat32), folder / f"{visit.name}_{suffix}.nii.gz")
        time.sleep(0.03)
    if "bad" in visit.participant:
        raise ImageError("The image is bad. Choose another one.")
    if "killed" in visit.participant:
        os.kill(os.getpid(), signal.SIGKILL)
    if "mistake" in visit.participant:
        raise ZeroDivisionError("a mistake")
    with (root / LOG).open("a", encoding="utf-8") as log:
        log.write(f"{visit.name}\n")
    return {"warnings": [], "tissue_medians": {"white_matter": {"T1": 850.0, "T2": 70.0}}}


def made(root: Path) -> list[str]:
    """The visits in the order in which their work was done."""
    return (root / LOG).read_text(encoding="utf-8").split() if (root / LOG).exists() else []
