"""Map errors and interval coverage on heads 16 and 17 by the standard test acquisition, for all seven input subsets.

Prints a Markdown table: ``python Testing/accuracy.py --data DIR [--seeds N] [--step K] > Testing/accuracy.md``. ``--step 2`` takes every
second voxel along each axis, for a quick look.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PhysMRISynthLib.imaging.acquisition import Acquisition
from PhysMRISynthLib.imaging.known_head import KnownHead, coverage, map_errors
from PhysMRISynthLib.imaging.volumes import volume_from_image
from PhysMRISynthLib.physics.tissues import BRAIN_TISSUE, PROPERTIES
from PhysMRISynthLib.training.standard_test import INFORMATION_BOUND, PROTOCOLS, known_head, standard_acquisition
from PhysMRISynthLib.workflow.estimate import estimate_tissue_maps
from tqdm import tqdm

HEADS = (16, 17)
SUBSETS = tuple(chain.from_iterable(combinations(PROTOCOLS, n) for n in (3, 2, 1)))


def measure(labels: sitk.Image, seed: int) -> dict[tuple[str, ...], tuple[dict[str, dict[str, float]], dict[str, float]]]:
    """Errors and coverage of one head for every subset of its inputs."""
    rng = np.random.default_rng(seed)
    head = known_head(labels, rng)
    images = standard_acquisition(head.maps, rng)
    return {subset: _one(head, images, subset) for subset in tqdm(SUBSETS, desc=f"seed {seed}")}


def _one(head: KnownHead, images: dict[str, sitk.Image], subset: Sequence[str]) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    inputs = [Acquisition(name, volume_from_image(images[name]), PROTOCOLS[name]) for name in subset]
    maps = estimate_tissue_maps(inputs).maps
    return map_errors(maps, head), coverage(maps, head)


def main() -> None:
    """Command line of this script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds head_labels")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--step", type=int, default=1)
    options = parser.parse_args()
    runs = []
    for head in HEADS:
        labels = sitk.ReadImage(str(options.data / "head_labels" / f"head_{head}.nii.gz"))
        step = slice(None, None, options.step)
        runs += [measure(labels[step, step, step], 100 * head + seed) for seed in range(options.seeds)]
    print(f"# Accuracy on simulated heads\n\nHeads {HEADS}, {options.seeds} draw(s) each, every voxel in {options.step}.")
    print("Median absolute error over brain tissue (mean over runs, worst run in brackets), and per cent of voxels whose")
    print("truth lies within one SD.\n")
    print("| inputs | PD % | T1 % | T2 % | within one SD: PD | T1 | T2 |\n|---|---|---|---|---|---|---|")
    for subset in SUBSETS:
        errors = np.array([[run[subset][0]["brain"][p] for p in PROPERTIES] for run in runs])
        within = np.array([[run[subset][1][p] for p in PROPERTIES] for run in runs]).mean(axis=0)
        cells = [f"{mean:.1f} ({worst:.1f})" for mean, worst in zip(errors.mean(axis=0), errors.max(axis=0), strict=True)]
        print(f"| {' + '.join(subset)} | {' | '.join(cells)} | {' | '.join(f'{value:.0f}' for value in within)} |")
    print("\nBy tissue: error in %, and in brackets its ratio to the information bound of three inputs.\n")
    print("| inputs | tissue | PD | T1 | T2 |\n|---|---|---|---|---|")
    for subset in SUBSETS:
        for tissue in (*BRAIN_TISSUE, "csf"):
            found = [float(np.mean([run[subset][0][tissue][p] for run in runs])) for p in PROPERTIES]
            cells = [f"{error:.1f} ({error / bound:.1f}×)" for error, bound in zip(found, INFORMATION_BOUND[tissue], strict=True)]
            print(f"| {' + '.join(subset)} | {tissue.replace('_', ' ')} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
