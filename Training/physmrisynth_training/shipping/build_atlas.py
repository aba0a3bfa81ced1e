"""Build the tissue atlas: probability of each tissue at each position in MNI space.

Run as ``python -m physmrisynth_training.shipping.build_atlas --heads DIR --template-wm F --template-gm F --out resources/atlas.nii.gz``
with label maps ``head_01.nii.gz`` … ``head_15.nii.gz``. Each head's brain is aligned with the template by an affine transform;
the tissues of all heads and of their mirror images are averaged at 4 mm.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from tqdm import tqdm

from PhysMRISynthLib.physics.tissues import tissue_table

from ..simulator.labels import tissue_index

SPACING_MM = 4.0
SIZE = (52, 62, 60)
ORIGIN_LPS = (-102.0, -118.0, -132.0)
"""Symmetric about x = 0; x and y of the template's space point left and posterior in SimpleITK's convention."""


def atlas_grid() -> sitk.Image:
    """An empty image on the atlas's grid (4 mm, MNI space, symmetric about the midline)."""
    grid = sitk.Image(SIZE, sitk.sitkFloat32)
    grid.SetSpacing((SPACING_MM,) * 3)
    grid.SetOrigin(ORIGIN_LPS)
    return grid


def head_to_template(labels: sitk.Image, template: sitk.Image) -> sitk.Transform:
    """Affine transform from template points to head points, by mean squares of a white > grey > CSF picture of the brain."""
    names = [tissue.name for tissue in tissue_table()]
    brightness = np.array([{"white_matter": 3.0, "cortex": 2.0, "deep_grey": 2.3, "thalamus": 2.5}.get(n, 0.0) for n in names])
    picture = sitk.GetImageFromArray(brightness[tissue_index(sitk.GetArrayFromImage(labels))].astype(np.float32))
    picture.CopyInformation(labels)
    moments = sitk.CenteredTransformInitializerFilter.MOMENTS
    start = sitk.CenteredTransformInitializer(template, picture, sitk.AffineTransform(3), moments)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.1, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 200, 0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetSmoothingSigmasPerLevel([4, 2])
    method.SetInitialTransform(start, inPlace=True)
    return method.Execute(template, picture)


def head_probabilities(labels: sitk.Image, to_head: sitk.Transform) -> np.ndarray:
    """Tissue fractions of one head on the atlas's grid, float32 of shape (tissues, z, y, x)."""
    index = tissue_index(sitk.GetArrayFromImage(labels))
    fractions = []
    for row, tissue in enumerate(tissue_table()):
        indicator = sitk.GetImageFromArray((index == row).astype(np.float32))
        indicator.CopyInformation(labels)
        smooth = sitk.RecursiveGaussian(
            sitk.RecursiveGaussian(sitk.RecursiveGaussian(indicator, 2.0, direction=0), 2.0, direction=1), 2.0, direction=2
        )
        outside = 1.0 if tissue.name == "air" else 0.0
        moved = sitk.Resample(smooth, atlas_grid(), to_head, sitk.sitkLinear, outside, sitk.sitkFloat32)
        fractions.append(sitk.GetArrayFromImage(moved))
    return np.stack(fractions)


def below_the_cut(labels: sitk.Image, to_head: sitk.Transform) -> np.ndarray:
    """True where the atlas's grid is outside the head's image, so that a cut neck does not count as air."""
    inside = sitk.Image(labels.GetSize(), sitk.sitkUInt8) + 1
    inside.CopyInformation(labels)
    return sitk.GetArrayFromImage(sitk.Resample(inside, atlas_grid(), to_head, sitk.sitkNearestNeighbor, 0)) == 0


def build_atlas(heads: list[Path], template: sitk.Image) -> np.ndarray:
    """Mean tissue fractions over heads and their mirror images, shape (tissues, z, y, x), summing to one."""
    total = np.zeros((len(tissue_table()), *SIZE[::-1]))
    weight = np.zeros(SIZE[::-1])
    for path in tqdm(heads, desc="heads", unit="head"):
        labels = sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkInt32)
        to_head = head_to_template(labels, template)
        seen = ~below_the_cut(labels, to_head)
        fractions = head_probabilities(labels, to_head) * seen
        total += fractions + fractions[..., ::-1]
        weight += seen + seen[..., ::-1].astype(float)
    air = [tissue.name for tissue in tissue_table()].index("air")
    total[air] += weight == 0
    return total / total.sum(axis=0)


def write_atlas(probabilities: np.ndarray, out: Path) -> None:
    """Write as an 8-bit vector NIfTI (one component a tissue, 255 = certain)."""
    components = np.moveaxis(np.round(probabilities * 255).astype(np.uint8), 0, -1)
    image = sitk.GetImageFromArray(components, isVector=True)
    image.CopyInformation(atlas_grid())
    sitk.WriteImage(image, str(out), useCompression=True, compressionLevel=9)


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", type=Path, required=True, help="folder of head_NN.nii.gz label maps (01 to 15 are used)")
    parser.add_argument("--template-wm", type=Path, required=True, help="white-matter probability map in MNI space")
    parser.add_argument("--template-gm", type=Path, required=True, help="grey-matter probability map in MNI space")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    white, grey = (sitk.ReadImage(str(p), sitk.sitkFloat32) for p in (arguments.template_wm, arguments.template_gm))
    template = sitk.Cast((white * 3.0 + grey * 2.0) / 255.0, sitk.sitkFloat32)
    heads = [arguments.heads / f"head_{number:02d}.nii.gz" for number in range(1, 16)]
    write_atlas(build_atlas(heads, template), arguments.out)


if __name__ == "__main__":
    main()
