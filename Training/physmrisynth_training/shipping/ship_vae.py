"""From a training checkpoint to the released weights: file, manifest and model card.

    python -m physmrisynth_training.shipping.ship_vae --checkpoint FILE --data DIR --out resources

writes the averaged weights with the statistics of their training heads. When ``physmrisynth evaluate`` has measured them,
the command with ``--metrics results.json`` in place of checkpoint and data adds its tables to the card; the weights do not change.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib import __version__
from PhysMRISynthLib.errors import ImageError, PhysMRISynthError, RegistrationError, WeightsError
from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.imaging.head.alignment import align
from PhysMRISynthLib.imaging.head.atlas import place_atlas
from PhysMRISynthLib.imaging.head.masks import head_mask
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import volume_from_image
from PhysMRISynthLib.network.config import NetworkConfig
from PhysMRISynthLib.network.familiarity import POPULATIONS, Familiarity, population_of
from PhysMRISynthLib.network.manifest import write_manifest
from PhysMRISynthLib.network.vae import TissueVAE
from PhysMRISynthLib.network.weights import Weights, add_statistics, load_weights, save_weights
from PhysMRISynthLib.workflow.estimation.aligned_head import AlignedHead, AlignedInputs
from PhysMRISynthLib.workflow.estimation.network_prior import network_prior

from ..learning.checkpoint import load_checkpoint
from ..learning.train_vae import SELECTION_HEADS, TRAINING_HEADS
from ..simulator.anatomy import AddLesions, DrawTissueValues, PlaceHead, SplitTissues
from ..simulator.simulated_head import Chain, Sample
from ..simulator.simulated_scans import Simulator, read_simulator
from .command_line import finish
from .model_card import model_card, read_metrics, rounding_section

FILE, MANIFEST, CARD = "vae.safetensors", "weights.json", "model_card.md"
LARGEST_BYTES = 9_000_000
"""All weights together must not exceed 30 MB: Slicer's Extensions Index rejects large repositories."""
_SEED = 20_260_101


@dataclass(frozen=True)
class Shipment:
    """Options of a release: ``heads`` and ``held_out`` are the numbers of whole heads to simulate from training and selection anatomy,
    of a ``shape`` (z, y, x; mm) that holds an adult's head with its neck."""

    checkpoint: Path
    data: Path
    out: Path
    heads: int = 42
    held_out: int = 14
    code_version: str = __version__
    device: str = "auto"
    shape: tuple[int, int, int] = (224, 240, 176)
    training_heads: tuple[int, ...] = TRAINING_HEADS


def ship(shipment: Shipment, progress: Callable[[str], None] = lambda line: None) -> Path:
    """Write weights, manifest and model card into ``shipment.out``; returns the weights' file. ``progress`` gets a line per head.

    Raises PhysMRISynthError when the checkpoint or the data cannot be used, WeightsError when the file would be too large.
    """
    state = load_checkpoint(shipment.checkpoint)
    try:
        network = TissueVAE(NetworkConfig.from_mapping(state["configuration"]["network"])).eval().requires_grad_(False)
        network.load_state_dict(state["average"])
        card = _card(state, shipment)
    except (LookupError, TypeError, RuntimeError) as error:
        raise PhysMRISynthError(f"{shipment.checkpoint} is no checkpoint of 'train vae' ({error}). Give another.") from None
    shipment.out.mkdir(parents=True, exist_ok=True)
    path = shipment.out / FILE
    plain = shipment.out / f".{FILE}"
    try:
        save_weights(network, card, plain)  # the release is rounded: use its statistics, not the checkpoint's
        weights = load_weights(plain)
        if plain.stat().st_size > LARGEST_BYTES:
            raise WeightsError(f"The weights take {plain.stat().st_size} bytes, more than {LARGEST_BYTES}. Ship a smaller network.")
        add_statistics(plain, path, familiarity_of(weights, shipment, progress))
    finally:
        plain.unlink(missing_ok=True)
    write_manifest(path, shipment.out / MANIFEST)
    write_card(shipment.out)
    return path


def write_card(out: Path, metrics: Path | None = None) -> None:
    """Write the model card of the weights in ``out``, with the tables of an evaluation's results.json.

    Raises PhysMRISynthError when there are no weights, or the metrics cannot be read or are of other weights.
    """
    weights = load_weights(out / FILE)
    found = {} if metrics is None else read_metrics(metrics, {"network_sha256": weights.sha256})
    text = model_card(weights, (out / FILE).stat().st_size, found, rounding_section(out / MANIFEST, "vae"))
    (out / CARD).write_text(text, encoding="utf-8")


def _card(state: dict[str, Any], shipment: Shipment) -> dict[str, Any]:
    return {
        "steps": int(state["step"]),
        "hours": round(float(state["seconds"]) / 3600.0, 1),
        "version": __version__,
        "code_version": shipment.code_version,
        "configuration": state["configuration"],
        "training_heads": list(shipment.training_heads),
        "selection_heads": list(SELECTION_HEADS),
        "data": {
            "head_labels": len(shipment.training_heads) + len(SELECTION_HEADS),
            "ms_lesion_masks": len(list((shipment.data / "ms_lesion_masks").glob("*.nii.gz"))),
        },
        "simulated_heads": {"training": shipment.heads, "held_out": shipment.held_out},
    }


def familiarity_of(weights: Weights, shipment: Shipment, progress: Callable[[str], None] = lambda line: None) -> Familiarity:
    """Statistics of simulated whole heads, prepared as in an estimate: each with one input, with two and with all three."""
    numbers: dict[str, dict[str, list[np.ndarray]]] = {"training": {}, "held-out": {}}
    names: dict[str, list[str]] = {}
    for kind, anatomy, count in (("training", shipment.training_heads, shipment.heads), ("held-out", SELECTION_HEADS, shipment.held_out)):
        simulator = read_simulator(shipment.data, anatomy, shipment.shape, _SEED)
        for index in range(count):
            progress(f"{kind} head {index + 1} of {count}")
            try:
                found = scan_numbers(weights, whole_head(simulator, index), index, shipment.device)
            except (ImageError, RegistrationError) as error:  # an estimate would fail on such a scan, too
                progress(f"left out: {error}")
                continue
            for population, rows in found.items():
                numbers[kind].setdefault(population, []).extend(rows)
                if kind == "training":
                    names.setdefault(population, []).extend([simulator.heads[index % len(simulator.heads)].name] * len(rows))
    training, held_out = numbers["training"], numbers["held-out"]
    return {name: population_of(np.array(training.get(name, [])), names.get(name, []), held_out.get(name, [])) for name in POPULATIONS}


def whole_head(simulator: Simulator, index: int) -> Sample:
    """Simulated scan number ``index`` of a whole head; heads take turns."""
    rng = np.random.default_rng([simulator.seed, index])
    place = PlaceHead(simulator.heads[index % len(simulator.heads)], simulator.shape, elsewhere=0.0)
    anatomy = Chain((place, AddLesions(simulator.lesion_masks), SplitTissues(), DrawTissueValues()))
    return simulator.scanner(anatomy(Sample(np.zeros((0, 0, 0), dtype=np.uint8)), rng), rng)


def scan_numbers(weights: Weights, sample: Sample, turn: int, device: str) -> dict[str, list[np.ndarray]]:
    """Features of a simulated scan by population: with one input (they take ``turn``s), with the two others and with all.

    Raises RegistrationError or ImageError when the head is not found in it.
    """
    order = [ROLES[(turn + k) % len(ROLES)] for k in range(len(ROLES))]
    inputs = [Acquisition(r, volume_from_image(sitk.GetImageFromArray(sample.images[r])), sample.protocols[r]) for r in order]
    grid = inputs[0].volume.image
    alignments = {a.name: align(a.volume.image, grid) for a in inputs}
    mask = head_mask([a.volume.image for a in inputs])
    placement = place_atlas(grid, inputs[0].protocol, sample.field_strength)
    head = AlignedHead.of(AlignedInputs(inputs, inputs[0], sample.field_strength, grid, alignments, mask), placement, {})
    found: dict[str, list[np.ndarray]] = {}
    for given in (inputs[:1], inputs[1:], inputs):
        expected = network_prior(weights, replace(head, acquisitions=given), device)
        for population, rows in expected.numbers.items():
            found.setdefault(population, []).extend(np.atleast_2d(rows))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module. Returns 0, or 2 after an error message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="checkpoint.pt of a training")
    parser.add_argument("--data", type=Path, help="folder with head_labels and ms_lesion_masks, as for the training")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights, weights.json and model_card.md")
    parser.add_argument("--heads", type=int, default=Shipment.heads, help="simulated heads for the statistics")
    parser.add_argument("--held-out", type=int, default=Shipment.held_out, help="simulated heads for their limits")
    parser.add_argument("--code-version", default=__version__, help="version of the code, such as a git commit")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--metrics", type=Path, help="results.json of 'physmrisynth evaluate' on these weights")
    options = parser.parse_args(arguments)
    if (options.checkpoint is None) != (options.data is None) or (options.checkpoint is None and options.metrics is None):
        parser.error("give --checkpoint with --data to ship, --metrics to complete the card of shipped weights, or all three")

    def work() -> None:
        if options.checkpoint is not None:
            shipment = Shipment(
                options.checkpoint, options.data, options.out, options.heads, options.held_out, options.code_version, options.device
            )
            print(ship(shipment, progress=lambda line: print(line, flush=True)))
        if options.metrics is not None:
            write_card(options.out, options.metrics)

    return finish(parser, work)


if __name__ == "__main__":
    raise SystemExit(main())
