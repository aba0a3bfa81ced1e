"""What the slice profile gains on a simulated head of 1 mm: thin T1w, T2w and FLAIR in oblique 5 mm slices with a gap of 1 mm.

    python3 dev.py bench LABELS.nii.gz

Median absolute errors in per cent of PD, T1 and T2 over the brain's tissue, with the thick inputs fitted as averages over their slices,
and the same head with them interpolated only (the baseline of the same run).
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from _whole_head import simulated

from physmrisynth_training.simulator.standard_acquisition import NOISE, PROTOCOLS, standard_acquisition
from PhysMRISynthLib.imaging.head.alignment import align
from PhysMRISynthLib.imaging.head.known_head import KnownHead, coverage, map_errors
from PhysMRISynthLib.imaging.head.slice_profile import slice_profile
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import image_like, volume_from_image
from PhysMRISynthLib.physics.noise import add_noise
from PhysMRISynthLib.workflow.estimation import head_voxels
from PhysMRISynthLib.workflow.estimation.estimate import estimate_tissue_maps
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from Testing.imaging.phantoms import grid, rotation

SPACING_MM, THICKNESS_MM = 5.0, 4.0
IN_PLANE_MM = {"t2w": 0.9, "flair": 1.1}
TILTS = {"t2w": (15.0, 0.0, 0.0), "flair": (15.0, 5.0, 0.0)}


def noisy(image: sitk.Image) -> sitk.Image:
    """The image with the standard test's noise."""
    voxels = sitk.GetArrayFromImage(image)
    return image_like(add_noise(voxels, NOISE * np.percentile(voxels, 99), np.random.default_rng(3)), image)


def in_thick_slices(image: sitk.Image, name: str) -> sitk.Image:
    """The image in the slices of a contrast."""
    centre = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
    fine = IN_PLANE_MM[name]
    stack = grid((int(230 / fine), int(250 / fine), 50), (fine, fine, SPACING_MM), rotation(*TILTS[name]), centre)
    profile = slice_profile(stack, align(stack, image, register=False), THICKNESS_MM)
    assert profile is not None
    return profile.averaged(image)


def acquisitions(head: KnownHead) -> list[Acquisition]:
    """T1w at 1 mm, T2w and FLAIR in thick slices."""
    clean = standard_acquisition(head.maps, np.random.default_rng(16), noise=0.0)
    shown = {name: image if name == "t1w" else in_thick_slices(image, name) for name, image in clean.items()}
    return [
        Acquisition(name, volume_from_image(noisy(image)), PROTOCOLS[name], slice_thickness_mm=None if name == "t1w" else THICKNESS_MM)
        for name, image in shown.items()
    ]


def main() -> None:
    """Print errors, coverage of the 68 % intervals and seconds of both ways."""
    head = simulated("geometry")
    inputs = acquisitions(head)
    for name, rounds in (("interpolated", 0), ("fitted as averages", head_voxels._ROUNDS)):
        head_voxels._ROUNDS = rounds
        found = estimate_tissue_maps(inputs, EstimateOrder(prior="literature"))
        errors, covered = map_errors(found.maps, head)["brain"], coverage(found.maps, head)
        told = ", ".join(f"{p} {e:.2f} % (covered {covered[p]:.0f} %)" for p, e in errors.items())
        print(f"geometry, {name}: {found.seconds['fit voxels']} s, {told}")


if __name__ == "__main__":
    main()
