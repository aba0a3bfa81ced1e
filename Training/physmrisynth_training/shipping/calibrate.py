"""Calibrate the standard deviations of estimates on simulated heads with known maps, and write the factors.

Run as ``python -m physmrisynth_training.shipping.calibrate --data DIR --out resources/calibration.json [--heads N …] [--draws N] [--prior
P] [--counts N …] [--acquisitions A …]``. Every second voxel of each head, with new random values, is scanned by each of the test
acquisitions and estimated from the subsets of its inputs with one of the ``counts``. Correct
factors, and those of other counts, do not change.
Heads 16 and 17 are left out: they are for the final test only.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import chain, combinations, product
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from tqdm import tqdm

from PhysMRISynthLib.imaging.head.known_head import KnownHead, standard_scores
from PhysMRISynthLib.physics.tissues import PROPERTIES
from PhysMRISynthLib.workflow.estimation.calibration import measurements, sd_factors
from PhysMRISynthLib.workflow.estimation.estimate import estimate_tissue_maps
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder

from ..learning.train_vae import SELECTION_HEADS, TRAINING_HEADS
from ..simulator.acquisitions import ACQUISITIONS, STANDARD, inputs_of
from ..simulator.anatomy import find_label_maps
from ..simulator.standard_acquisition import PROTOCOLS, known_head

SUBSETS = tuple(chain.from_iterable(combinations(PROTOCOLS, n) for n in (3, 2, 1)))
COUNTS = (1, 2, 3)
ONE_SD = 68.27
_HEADS = (*TRAINING_HEADS, *SELECTION_HEADS)
_EVERY = 2
_VOXELS = 20_000
"""Voxels per run, so that large heads do not have more weight."""
_SEED = 4242


def scores_of(
    head: KnownHead, rng: np.random.Generator, prior: str, counts: Sequence[int] = COUNTS, acquisition: str = STANDARD
) -> dict[tuple[str, ...], np.ndarray]:
    """Errors in SDs (3, voxels; PD, T1, T2) in brain tissue, for each subset of inputs with one of these ``counts``."""
    inputs = {given.name: given for given in inputs_of(head, rng, acquisition=acquisition)}
    scores = {}
    for subset in (subset for subset in SUBSETS if len(subset) in counts):
        found = standard_scores(estimate_tissue_maps([inputs[name] for name in subset], EstimateOrder(prior=prior)).maps, head)
        scores[subset] = found[:, rng.integers(0, found.shape[1], _VOXELS)]
    return scores


def factors_from(runs: Sequence[Mapping[tuple[str, ...], np.ndarray]]) -> dict[int, np.ndarray]:
    """New factors (3,) for each number of inputs in the runs: the current ones times the score not exceeded by 68.27 % of all voxels.

    A head's voxels share the errors of its gains, so scores vary between heads: if their mean does not differ clearly
    from 1, the factor stays (James-Stein shrinkage of the logarithm by the ratio of its squared standard error to its square).
    """
    factors = {}
    for count in sorted({len(subset) for subset in runs[0]}):
        by_head = [np.concatenate([scores for subset, scores in run.items() if len(subset) == count], axis=1) for run in runs]
        needed = np.log(np.percentile(np.concatenate(by_head, axis=1), ONE_SD, axis=1))
        alone = np.log([np.percentile(scores, ONE_SD, axis=1) for scores in by_head])
        error = alone.std(axis=0, ddof=1) / np.sqrt(len(runs)) if len(runs) > 1 else np.full(len(PROPERTIES), np.inf)
        kept = np.maximum(0.0, 1.0 - (error / np.maximum(np.abs(needed), 1e-9)) ** 2)
        factors[count] = sd_factors(count) * np.exp(kept * needed)
    return factors


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds head_labels")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--heads", type=int, nargs="+", choices=_HEADS, default=list(_HEADS))
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--prior", choices=("network", "literature"), default="literature")
    parser.add_argument("--counts", type=int, nargs="+", choices=COUNTS, default=list(COUNTS), help="numbers of inputs to measure")
    parser.add_argument("--acquisitions", nargs="+", choices=tuple(ACQUISITIONS), default=[STANDARD], help="test acquisitions")
    options = parser.parse_args()
    runs = []
    for path in tqdm(find_label_maps(options.data / "head_labels", options.heads), desc="heads", unit="head"):
        labels = sitk.ReadImage(str(path))[::_EVERY, ::_EVERY, ::_EVERY]
        for draw, acquisition in product(range(options.draws), options.acquisitions):
            rng = np.random.default_rng([_SEED, draw, int(path.name[5:7])])
            runs.append(scores_of(known_head(labels, rng), rng, options.prior, options.counts, acquisition))
    made_from = {"heads": options.heads, "draws": options.draws, "prior": options.prior, "acquisitions": options.acquisitions}
    factors = {count: sd_factors(count) for count in COUNTS} | factors_from(runs)
    described = {
        "about": "Factors on the fit's standard deviations of PD, T1 and T2, by number of inputs, from "
        "shipping/calibrate.py of the training package.",
        "made_from": measurements() | {str(count): made_from for count in options.counts},
        "factors": {str(count): dict(zip(PROPERTIES, np.round(f, 3).tolist(), strict=True)) for count, f in factors.items()},
    }
    options.out.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
