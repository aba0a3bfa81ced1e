"""The gallery shows what it is given: every sample and every scan, in the network's scale and front up."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from physmrisynth_training.shipping.simulator_gallery import draw, real_pictures
from PhysMRISynthLib.imaging.intake.volumes import write_image
from Testing.imaging.phantoms import grid, head


def test_a_real_scan_is_shown_through_its_middle_whatever_its_orientation(tmp_path: Path) -> None:
    planes = []
    sagittal = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    for name, size, turned in (("straight.nii.gz", (96, 110, 100), np.eye(3)), ("sagittal.nii.gz", (110, 100, 96), sagittal)):
        write_image(head(grid(size, (2.0, 2.0, 2.0), turned), 0, noise=0.0), tmp_path / name)
        ((title, plane),) = real_pictures([tmp_path / name])
        assert title == f"real: {name}" and 0.5 < plane.max() < 1.5
        planes.append(plane)
    assert planes[0].shape == planes[1].shape
    assert np.abs(planes[0] - planes[1]).mean() < 0.02


def test_a_page_is_drawn(tmp_path: Path) -> None:
    draw([(f"{n}", np.eye(20) * n) for n in range(1, 9)], tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 5000
