"""A picture of random simulated heads beside real scans: they should be hard to distinguish at a glance.

Run as ``python -m physmrisynth_training.shipping.simulator_gallery --data DIR --out FILE.png [--real FILE …] [--seed N]``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.imaging.head.alignment import isotropic
from PhysMRISynthLib.network.inference import normalised

from ..learning.train_vae import TRAINING_HEADS
from ..simulator.anatomy import ORIENTATION
from ..simulator.simulated_scans import Simulator, read_simulator

_SHAPE = (176, 208, 176)
_SAMPLES, _COLUMNS = 12, 6
Picture = tuple[str, np.ndarray]


def simulated_pictures(simulator: Simulator, count: int = _SAMPLES) -> list[Picture]:
    """Axial planes of ``count`` samples, the roles in turn, with their protocols."""
    pictures = []
    for index in range(count):
        sample = simulator.sample(index)
        role = ROLES[index % len(ROLES)]
        pictures.append((sample.protocols[role].spec.split(",TI")[0][:34], sample.images[role][sample.shape[0] // 2 + 8]))
    return pictures


def real_pictures(paths: Sequence[Path]) -> list[Picture]:
    """The central axial plane of each file's head, scaled like the network's input."""
    pictures = []
    for path in paths:
        image = isotropic(sitk.DICOMOrient(sitk.ReadImage(str(path), sitk.sitkFloat32), ORIENTATION), 1.0)
        voxels = normalised(sitk.GetArrayFromImage(image))
        bright = np.flatnonzero((voxels > 0.1).any(axis=(1, 2)))
        pictures.append((f"real: {path.name}", voxels[int(np.median(bright))]))
    return pictures


def draw(pictures: Sequence[Picture], out: Path) -> None:
    """All pictures on one page, front up."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(pictures) // _COLUMNS)
    figure = Figure(figsize=(2.2 * _COLUMNS, 2.6 * rows), layout="constrained", facecolor="black")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for ax, (title, plane) in zip(axes, pictures, strict=False):
        ax.imshow(plane, cmap="gray", vmin=0.0, vmax=float(np.percentile(plane, 99.7)))
        ax.set_title(title, color="white", fontsize=6)
    for ax in axes:
        ax.axis("off")
    figure.savefig(out, dpi=110)


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with head_labels and ms_lesion_masks")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="scans to show beside them")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    simulator = read_simulator(arguments.data, TRAINING_HEADS[:4], _SHAPE, arguments.seed)
    draw([*simulated_pictures(simulator), *real_pictures(arguments.real)], arguments.out)


if __name__ == "__main__":
    main()
