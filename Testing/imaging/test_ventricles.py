"""The ventricles: found where people have them, however large, and told from the fluid of sulci."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from physmrisynth_training.shipping.build_ventricles import VENTRICLES
from physmrisynth_training.simulator.labels import tissue_index
from PhysMRISynthLib.errors import RegistrationError
from PhysMRISynthLib.imaging.head.ventricles import ventricle_mask
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.examples.small_head import small_head

NAMES = [tissue.name for tissue in tissue_table()]
BRAIN = [row for row, tissue in enumerate(tissue_table()) if tissue.region == "brain"]
WHITE, CSF, AIR = (NAMES.index(name) for name in ("white_matter", "csf", "air"))
VOXEL_ML = 0.064


def found(tissue: np.ndarray, grid: sitk.Image | None = None) -> np.ndarray:
    return ventricle_mask(tissue, np.isin(tissue, BRAIN), (tissue == CSF).astype(np.float32), grid or small_head().maps.grid)


@cache
def ventricles() -> np.ndarray:
    tissue = small_head().tissue
    return found(tissue) & (tissue == CSF)


def grown(mask: np.ndarray) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.BinaryDilate(sitk.GetImageFromArray(mask.astype(np.uint8)), [1, 1, 1])) > 0


def test_they_are_deep_and_no_sulci() -> None:
    inside = ventricles()
    assert 5 < inside.sum() * VOXEL_ML < 60
    outer = ~sitk.GetArrayFromImage(
        sitk.BinaryErode(sitk.GetImageFromArray(np.isin(small_head().tissue, BRAIN).astype(np.uint8)), [4, 4, 4])
    ).astype(bool)  # 16 mm
    assert (inside & outer).sum() < 0.02 * inside.sum()


def test_larger_ventricles_are_found_whole_and_a_wider_sulcus_is_none() -> None:
    tissue = small_head().tissue
    larger = np.where(grown(ventricles()) & (tissue == WHITE), np.uint8(CSF), tissue)
    added = (larger != tissue).sum()
    more = (found(larger) & (larger == CSF)).sum() - ventricles().sum()
    assert added * VOXEL_ML > 5 and more == pytest.approx(added, rel=0.25)
    cortex = np.argwhere(tissue == NAMES.index("cortex"))
    z, y, x = cortex[cortex[:, 0].argmax()]
    wider = tissue.copy()
    wider[z - 3 : z + 1, y - 3 : y + 4, x - 1 : x + 2][np.isin(wider[z - 3 : z + 1, y - 3 : y + 4, x - 1 : x + 2], BRAIN)] = CSF
    assert abs(int((found(wider) & (wider == CSF)).sum()) - int(ventricles().sum())) < 0.05 * ventricles().sum()


def test_a_head_that_lies_elsewhere_has_the_same_ventricles() -> None:
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.1, -0.1, 0.15)
    turn.SetTranslation((15.0, -20.0, 10.0))
    grid, moved = small_head().maps.grid, sitk.Image(small_head().maps.grid)
    moved.SetDirection((np.reshape(turn.GetMatrix(), (3, 3)) @ np.reshape(grid.GetDirection(), (3, 3))).ravel().tolist())
    moved.SetOrigin(turn.TransformPoint(grid.GetOrigin()))
    tissue = small_head().tissue
    assert (found(tissue, moved) & (tissue == CSF)).sum() == pytest.approx(ventricles().sum(), rel=0.05)


def test_what_is_no_brain_is_refused() -> None:
    with pytest.raises(RegistrationError):
        found(np.full(small_head().tissue.shape, AIR, dtype=np.uint8))


def test_a_persons_ventricles_have_their_volume(data: Callable[[str], Path]) -> None:
    """A person whose label map is not in the reference."""
    labels = sitk.ReadImage(str(data("people/person_51_labels.nii.gz")))[::2, ::2, ::2]
    numbers = sitk.GetArrayFromImage(labels).astype(np.int32)
    tissue = tissue_index(numbers)
    true = np.isin(numbers, VENTRICLES)
    inside = found(tissue, labels) & (tissue == CSF)
    assert inside.sum() == pytest.approx(true.sum(), rel=0.08)
    assert 2.0 * (inside & true).sum() / (inside.sum() + true.sum()) > 0.95
