"""Suite ``samples``: are synthetic heads plausible, sharp, diverse, and not copies of training heads?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.imaging.head.midline import LEAST_OPEN, MOST_JOINED_MM2
from PhysMRISynthLib.network.condenser import Condenser
from PhysMRISynthLib.network.condenser_weights import codes_sha256
from PhysMRISynthLib.network.device import choose_device, fastest_precision
from PhysMRISynthLib.network.inference import decode
from PhysMRISynthLib.physics.tissues import PROPERTIES
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from PhysMRISynthLib.workflow.sampling.sample import Sampler, sharpened

from ..learning.latents import PLACEMENT, good_scan, latent_of, whole_heads
from ..learning.train_condenser import trained_condenser
from ..learning.train_vae import SELECTION_HEADS, TRAINING_HEADS
from ..simulator.anatomy import LabelledHead, PlaceHead
from ..simulator.hemisphere_mixing import Halves
from ..simulator.simulated_head import Sample
from ..simulator.simulated_scans import Simulator
from .anatomies import FIELD_STRENGTH, Anatomy, anatomy_of, one_hot, wasserstein
from .drawing import Picture, draw_pictures
from .groups import CONDENSED, COPIED, DECIDED, DEFORMED, HELD_OUT, JOINED, RECONSTRUCTED, SAMPLED, TRAINING, Groups, Record
from .memorisation import memorisation, nearness
from .plan import TEST_HEADS, Plan, progress_bar
from .results import Findings, Table
from .segmentation import SEGMENTED, overlaps
from .similarity import check_metrics, similarity

_SEGMENTED_KINDS = (SAMPLED, TRAINING, HELD_OUT, RECONSTRUCTED)
VOLUMES = ("brain", "white_matter", "ventricles")
_TOLERANCE = 0.15
_COPIES, _SHOWN, _MOST_PAIRS = 2, 6, 20
_SEED = 424_242
_UNSEEN_HEADS = (*SELECTION_HEADS, *TEST_HEADS)
_STILL: Mapping[str, Any] = {"turn_degrees": 0.0, "scale": 0.0, "shear": 0.0, "warps": (), "elsewhere": 0.0, "stray": 0.0}
"""Placement of a head without deformation."""
_NOTES = (
    "Training heads are the training label maps, unchanged; 'deformed' are two augmented copies of each, as in training but without "
    "hemisphere mixing; 'from codes' are reconstructed, through the second stage's codes, from simulated scans of deformed copies; "
    "held-out heads are other people's, reconstructed in the same way without codes; 'sharpened' means that their tissue probabilities "
    "are sharpened like those of samples and of heads from codes: the best that a sample could look like. The range of the training "
    "heads is widened by 15 %. For all heads alike, T1, T2 and PD in the whole brain are sampled around the literature; the "
    "Wasserstein distance is that from the mean quantiles of the training heads (for a training head, of the others). Sharpness is the "
    "mean squared gradient of the T1w image in the brain without texture. The distance of two heads is 1 minus the correlation of "
    "their T1w brains, smoothed by a Gaussian of 4 mm SD and aligned affinely with the atlas, after the second, mirrored or not, is "
    "deformed smoothly onto the first on a grid of 8 mm. Heads are attributed to one person by the ratio of the distances to the "
    "nearest and the second nearest training head: a copy has one original, and coarser heads are farther from all. A mixed head of "
    "two people, as in training, is nearest to one of them in each hemisphere; so hemispheres are compared, too. Midline: the largest "
    "area, in the atlas, where brain tissue crosses the midline at places where it hardly does in any training head; the open share of "
    "the third ventricle's place; whether a corpus callosum separates the ventricles from the fissure. A sample whose midline fails "
    "these criteria is resampled from new noise: all figures for samples describe selected heads. MS-SSIM between heads of a group: "
    "lower is more diverse. The segmenting network is the one whose decoder makes samples and reconstructions, which favours both.",
)


def placed(head: LabelledHead, shape: tuple[int, int, int], rng: np.random.Generator, placement: Mapping[str, Any]) -> np.ndarray:
    """The tissue (z, y, x) of a head with this placement."""
    return PlaceHead(head, shape, **placement)(Sample(np.zeros((0, 0, 0), dtype=np.uint8)), rng).tissue


def check(plan: Plan) -> None:
    """Raise PhysMRISynthError when MONAI, the sampling model or the label maps cannot be had."""
    check_metrics()
    _condenser_of(plan, plan.sampler())
    _folder_of(plan)


def _folder_of(plan: Plan) -> Path:
    if plan.data is None or not (plan.data / "head_labels").is_dir():
        raise PhysMRISynthError("The suite 'samples' compares with the training heads. Give the folder that holds head_labels with --data.")
    return plan.data


def _condenser_of(plan: Plan, sampler: Sampler) -> Condenser | None:
    """The plan's second stage, if any. Raises PhysMRISynthError when the sampling model samples other codes."""
    if plan.condenser is None:
        return None
    condenser = trained_condenser(plan.condenser, sampler.decoder.sha256)
    if codes_sha256(condenser) != sampler.model.codes_sha256:
        raise PhysMRISynthError(f"The sampling model does not sample the codes of {plan.condenser}. Give its own --condenser, or none.")
    return condenser


def measure(plan: Plan) -> Findings:
    """Compare ``plan.samples`` heads, seeds from 0 on, with training heads, deformed and coded copies of them, and reconstructions."""
    sampler = plan.sampler()
    depth, height, width = sampler.model.config.shape
    folder = _folder_of(plan)
    training = whole_heads(folder, plan.training_heads or TRAINING_HEADS, (depth, height, width), _SEED)
    held_out = whole_heads(folder, _UNSEEN_HEADS, (depth, height, width), _SEED)
    each = 1 + _COPIES + (plan.condenser is not None)
    count = plan.samples + each * len(training.heads) + plan.mixed_heads + len(held_out.heads) + 2 * plan.reconstructions
    with progress_bar(count, "samples") as bar:
        groups = _groups(plan, sampler, training, held_out, bar)
    return replace(compare(groups), of=_identity(sampler))


def _identity(sampler: Sampler) -> dict[str, str]:
    found = {"sampler_sha256": sampler.model.sha256}
    return found | ({"expander_sha256": sampler.model.expander.sha256} if sampler.model.expander else {})


def _groups(plan: Plan, sampler: Sampler, training: Simulator, held_out: Simulator, bar: Any) -> Groups:
    groups: Groups = {kind: [] for kind in (SAMPLED, TRAINING, *COPIED, JOINED, HELD_OUT, RECONSTRUCTED, DECIDED)}

    def add(group: str, name: str, fractions: np.ndarray, draws: int = 1) -> None:
        number = len(groups[group])
        measured = group in _SEGMENTED_KINDS
        overlap = overlaps(name, fractions, sampler.decoder, FIELD_STRENGTH, number) if measured else {}
        groups[group].append(replace(anatomy_of(name, fractions, number), overlap=overlap, draws=draws))
        bar.update()

    for number, head in enumerate(training.heads):
        for copy in range(1 + _COPIES):
            rng = np.random.default_rng([_SEED, number, copy])
            kind, placement = (DEFORMED, PLACEMENT) if copy else (TRAINING, _STILL)
            add(kind, head.name, one_hot(placed(head, training.shape, rng, placement)))
    halves = Halves.of(training.heads)
    for number in range(plan.mixed_heads):
        rng = np.random.default_rng([_SEED, number])
        head = halves.head(number % len(training.heads), rng)
        add(JOINED, head.name, one_hot(placed(head, training.shape, rng, PLACEMENT)))
    for number, head in enumerate(held_out.heads):
        rng = np.random.default_rng([_SEED, number, 0])
        add(HELD_OUT, head.name, one_hot(placed(head, held_out.shape, rng, _STILL)))
    device = choose_device("auto")
    precision = fastest_precision(device.type)
    condenser, expander = _condenser_of(plan, sampler), sampler.model.expander
    if condenser is not None and expander is not None:
        for index in range(len(training.heads)):
            latent = latent_of(good_scan(training, index), sampler.decoder, device, precision)
            back = expander.network.cpu().latent(condenser.codes(torch.from_numpy(latent.latent)))
            add(CONDENSED, latent.name, sharpened(decode(sampler.decoder, back[0].detach().numpy(), device, precision)))
    for index in range(plan.reconstructions):
        latent = latent_of(good_scan(held_out, index), sampler.decoder, device, precision)
        likely = decode(sampler.decoder, latent.latent[0], device, precision)
        add(RECONSTRUCTED, latent.name, likely)
        add(DECIDED, latent.name, sharpened(likely))
    for seed in range(plan.samples):
        drawn = sampler.drawn(SampleOrder(seed))
        add(SAMPLED, f"seed {seed}", drawn.fractions, drawn.made)
    return groups


def compare(groups: Groups) -> Findings:
    """As the suite does, on any heads."""
    records = [_record(kind, head, groups) for kind, heads in groups.items() for head in heads]
    likeness = {kind: _likeness(heads) for kind, heads in groups.items()}
    notes = (*_NOTES, memorisation(records))
    tables = [_volumes(groups), _group_table(records, groups, likeness), _midline_table(groups), _overlap_table(records)]
    return Findings(records, tables, notes, partial(draw_pictures, _pictures(groups)))


def _record(kind: str, head: Anatomy, groups: Groups) -> Record:
    others = [other for other in groups[TRAINING] if other is not head and (kind != TRAINING or other.name != head.name)]
    record = {
        "kind": kind, "head": head.name, "volumes_ml": asdict(head.volumes), "gradient_energy": head.gradient_energy,
        "wasserstein": wasserstein(head, others), "overlap": dict(head.overlap), "draws": head.draws,
        "midline": None if head.midline is None else asdict(head.midline),
    }  # fmt: skip
    return record | nearness(kind, head, others)


def _likeness(heads: Sequence[Anatomy]) -> float:
    """Mean MS-SSIM of T1w images between pairs of heads."""
    pairs = list(combinations(heads, 2))
    chosen = [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, min(len(pairs), _MOST_PAIRS)).astype(int))] if pairs else []
    scores = [similarity(a.image, b.image, a.brain | b.brain, 1.0, a.grid).ms_ssim for a, b in chosen]
    return float(np.mean(scores)) if scores else float("nan")


def _volumes(groups: Groups) -> Table:
    """The range of each group, and its share inside the range of the training heads."""
    rows = []
    known = {name: [getattr(head.volumes, name) for head in groups[TRAINING]] for name in VOLUMES}
    for kind, heads in groups.items():
        cells, within = [], np.ones(len(heads), dtype=bool)
        for name in VOLUMES:
            values = np.array([getattr(head.volumes, name) for head in heads])
            inside = (values >= min(known[name]) * (1.0 - _TOLERANCE)) & (values <= max(known[name]) * (1.0 + _TOLERANCE))
            within &= inside
            cells.append(f"{values.min():.0f} to {values.max():.0f}" if len(values) else "")
        rows.append((kind, str(len(heads)), *cells, f"{100 * within.mean():.0f}" if len(heads) else ""))
    columns = ("heads", "number", *(f"{name.replace('_', ' ')} ml" for name in VOLUMES), "all three in the training range ± 15 %")
    return Table("Volumes", columns, tuple(rows))


def _group_table(records: Sequence[Record], groups: Groups, likeness: dict[str, float]) -> Table:
    """Means of each group."""
    reference = np.mean([head.gradient_energy for head in groups[RECONSTRUCTED]]) if groups[RECONSTRUCTED] else float("nan")
    rows = []
    for kind in (kind for kind, heads in groups.items() if heads):
        members = [record for record in records if record["kind"] == kind]
        moved = [f"{np.mean([record['wasserstein'][name] for record in members]):.1f}" for name in PROPERTIES]
        sharp = np.mean([record["gradient_energy"] for record in members]) / reference
        compared = [record for record in members if "distance" in record]
        near, over = ([record[name] for record in compared] for name in ("distance", "distance_over_second"))
        cells = (f"{np.mean(near):.3f}", f"{min(near):.3f}", f"{np.mean(over):.3f}", f"{min(over):.3f}") if compared else ("",) * 4
        rows.append((kind, *moved, f"{sharp:.2f}", f"{likeness[kind]:.3f}", *cells))
    columns = (
        "heads", "Wasserstein PD %", "T1 ms", "T2 ms", "gradient energy over reconstructions'", "MS-SSIM between heads",
        "distance to the nearest training head", "smallest distance", "nearest over second nearest", "smallest share",
    )  # fmt: skip
    return Table("Similarity to training heads, sharpness, diversity, memorisation", columns, tuple(rows))


def _midline_table(groups: Groups) -> Table:
    """Midline of each group's heads: mean and worst."""
    columns = (
        "heads", "number", "aligned with the atlas", "hemispheres joined, mm²: mean (most)", "third ventricle open: mean (least)",
        "corpus callosum between fissure and ventricles",
        f"passes (also at most {MOST_JOINED_MM2:.0f} mm² joined, at least {LEAST_OPEN:.0%} open)",
        "passes at the first attempt", "attempts: mean (most)",
    )  # fmt: skip
    return Table("Midline", columns, tuple(_midline_row(kind, heads) for kind, heads in groups.items() if heads))


def _midline_row(kind: str, heads: Sequence[Anatomy]) -> tuple[str, ...]:
    found = [head.midline for head in heads if head.midline is not None]
    joined, opened = ([getattr(midline, name) for midline in found] for name in ("joined_mm2", "third_ventricle"))
    means = (f"{np.mean(joined):.0f} ({max(joined):.0f})", f"{np.mean(opened):.2f} ({min(opened):.2f})") if found else ("", "")
    first = sum(head.draws == 1 and head.midline is not None and head.midline.whole for head in heads)
    draws = [head.draws for head in heads]
    drawn = (str(first), f"{np.mean(draws):.1f} ({max(draws)})") if kind == SAMPLED else ("", "")
    counts = (sum(midline.callosum for midline in found), sum(midline.whole for midline in found))
    return (kind, str(len(heads)), str(len(found)), *means, *map(str, counts), *drawn)


def _overlap_table(records: Sequence[Record]) -> Table:
    """Mean and smallest Dice of each group whose images were segmented."""
    rows = []
    for kind in _SEGMENTED_KINDS:
        found = [record["overlap"] for record in records if record["kind"] == kind and record["overlap"]]
        scores = ([overlap[name] for overlap in found if name in overlap] for name in SEGMENTED)
        cells = [f"{np.mean(values):.2f} ({min(values):.2f})" if values else "" for values in scores]
        if found:
            rows.append((kind, str(len(found)), *cells))
    columns = ("heads", "number", *(name.replace("_", " ") for name in SEGMENTED))
    return Table("Segmentability: Dice of the network's segmentation of simulated images, mean (smallest)", columns, tuple(rows))


def _pictures(groups: Groups) -> list[list[Picture]]:
    """A row per plane: the first samples, a training head and a reconstruction."""
    shown = [*groups[SAMPLED][:_SHOWN], *groups[TRAINING][:1], *groups[RECONSTRUCTED][:1]]
    rows = []
    for axis in range(3):
        planes = [(head.name, np.take(head.image, _middle(head, axis), axis=axis)) for head in shown]
        rows.append([Picture(name, plane if axis == 0 else plane[::-1], 0.0, 1.1) for name, plane in planes])
    return rows


def _middle(head: Anatomy, axis: int) -> int:
    """Centre of the brain along an axis; for a sagittal plane slightly off-centre, beside the fissure."""
    where = np.flatnonzero(head.brain.any(axis=tuple(other for other in range(3) if other != axis)))
    middle = int(np.median(where)) if len(where) else head.brain.shape[axis] // 2
    return min(middle + (6 if axis == 2 else 0), head.brain.shape[axis] - 1)
