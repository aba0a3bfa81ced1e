"""Time and memory of a whole estimate, 160 x 224 x 160 voxels of 1 mm, three inputs: with the network, against the literature prior.

python3 dev.py bench LABELS.nii.gz
"""

from __future__ import annotations

import numpy as np
from _whole_head import simulated

from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS, standard_acquisition
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import volume_from_image
from PhysMRISynthLib.workflow.estimation.estimate import estimate_tissue_maps
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.results.report import peak_memory_gb

SHAPE = (160, 224, 160)


def main() -> None:
    """Print both times, their ratio, the wait for the network beyond the fit beside it, and the process's peak of memory."""
    head = simulated("estimate", SHAPE)
    images = standard_acquisition(head.maps, np.random.default_rng(0))
    inputs = [Acquisition(name, volume_from_image(image), PROTOCOLS[name]) for name, image in images.items()]
    estimate_tissue_maps(inputs[:1], EstimateOrder(prior="network", spacing_mm=4.0))  # what is loaded once
    literature, network = (estimate_tissue_maps(inputs, EstimateOrder(prior=prior)).seconds for prior in ("literature", "network"))
    total = sum(network.values())
    told = f"{network['expect tissues']:.1f} s of waiting for it, peak of both {peak_memory_gb()} GB"
    print(f"estimate with the network: {total:.1f} s, {total / sum(literature.values()):.2f} x literature prior, {told}")


if __name__ == "__main__":
    main()
