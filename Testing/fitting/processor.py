"""The fit of a small head in a process of its own, under whatever the environment tells NumPy and its linear algebra.

``python -m Testing.fitting.processor FILE.npz`` writes the head level's ``tissues`` and ``gains``, and ``voxels`` (PD, T1, T2).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from physmrisynth_training.simulator.standard_acquisition import NOISE, PROTOCOLS, standard_acquisition
from PhysMRISynthLib.fitting.head import fit_head
from PhysMRISynthLib.fitting.observation import Observation
from PhysMRISynthLib.imaging.head.atlas import AtlasPlacement
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.workflow.estimation.even_voxels import even_voxels
from PhysMRISynthLib.workflow.estimation.head_voxels import HeadVoxels, fit_all_voxels
from PhysMRISynthLib.workflow.examples.small_head import small_head


def main(out: Path) -> None:
    """Fit the head and write what was found."""
    head = small_head()
    voxels = HeadVoxels.inside(head.maps.mask, head.maps.grid, AtlasPlacement(sitk.Transform(), False, 1.0))
    with np.errstate(divide="ignore"):  # air has no relaxation times
        images = standard_acquisition(head.maps, np.random.default_rng(0))
    seen = [_observation(name, protocol, images[name], voxels) for name, protocol in PROTOCOLS.items()]
    sample = even_voxels(seen, voxels, [None] * len(seen))
    atlas = voxels.atlas[:, sample] / np.float32(255.0)
    model = fit_head([o.at(sample) for o in seen], voxels.positions(sample), atlas, 3.0)
    fitted = fit_all_voxels(model, seen, voxels)
    np.savez(out, tissues=np.exp(model.level.theta), gains=model.gains, voxels=np.exp(fitted.theta))


def _observation(name: str, protocol: Protocol, image: sitk.Image, voxels: HeadVoxels) -> Observation:
    signal = sitk.GetArrayFromImage(image).reshape(-1)[voxels.index]
    return Observation(name, protocol, signal, NOISE * float(np.percentile(signal, 99)), np.ones(signal.size, dtype=bool))


def fitted_with(environment: Mapping[str, str], out: Path) -> Mapping[str, np.ndarray]:
    """What a new process with these variables in its environment finds."""
    paths = os.pathsep.join(path for path in (str(Path(__file__).parents[2]), *sys.path) if path)
    command = [sys.executable, "-m", "Testing.fitting.processor", str(out)]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": paths, **environment}, check=True)
    with np.load(out) as found:
        return dict(found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
