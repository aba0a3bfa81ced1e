"""A data set of synthetic heads in BIDS: images of several protocols with labels, splits and a description, resumable."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ... import __version__
from ...errors import ImageError, PhysMRISynthError, Remedy
from ...imaging.head.structures import structures_table
from ...imaging.intake.volumes import image_like, write_image
from ..cohort.data_set import Batch, write_table
from ..cohort.harmonise import suffix_of
from ..cohort.processes import in_processes, on_cluster
from ..cohort.thumbnails import write_index, write_thumbnail
from ..cohort.visit import ESTIMATED, Row, Task, Visit, estimate_visit
from ..orders import Order, limited
from ..rendering.order import RenderOrder
from ..rendering.rendered import Rendering, rendered
from ..rendering.scanner_effects import ScannerEffects
from ..results.bids_derivatives import DESCRIPTION, write_text
from ..results.outputs import is_taken, rendering_fields, write_json
from ..results.tissue_output import write_labels
from .order import SampleOrder
from .sample import LABELS, Sampler, sampler_of

SAMPLED = "sampled"
"""What became of a head, in place of ESTIMATED."""
_MADE_BY = "PhysMRISynth sample"
_SPLITS = ("train",) * 8 + ("validation", "test")
"""Of ten heads in a row, in random order."""
_SPLIT, _EFFECTS = 2, 3
"""Random numbers of a head that are not the head's own."""
_SNR, _MOTION_SHARE = (15.0, 60.0), 0.3
_LIMITS = ScannerEffects(receive_field=30.0, ringing=30.0, motion=0.5)
_CARD = """# Synthetic heads

Heads sampled by PhysMRISynth {version}: {count}, of the seeds {first} to {last}. None belongs to a person. Research only.

- Images: {protocols}{effects}.
- `*_desc-{labels}_dseg.nii.gz`: anatomical structures in FreeSurfer's numbers, as far as tissue and place tell them; `.tsv`: names.
- `participants.tsv`: seed and split of each head. The test heads come from the same model: they measure nothing about people.
- `*_report.json`: tissue values, midline check, and what determines a head: sampled again with its seed, it has the same maps.
- Sampling model (SHA-256): {sampler}; decoder: {decoder}. Licence: Apache-2.0, as the model.
"""


@dataclass(frozen=True)
class DataSetOrder(Order):
    """Which heads, and which images of each.

    Attributes
    ----------
    heads
        Seed of the first head, their count, and everything else about sampling.
    protocols
        Presets or ``sequence,NAME=VALUE,…``, one for each contrast.
    noise
        Add noise and random scanner effects, different for each image: SNR 15 to 60, receive field up to 30 %, ringing up to 30 %, and
        motion up to 0.5 mm in one of three images.

    Raises
    ------
    OrderError
        For a value out of bounds.
    """

    heads: SampleOrder = field(default_factory=SampleOrder)
    protocols: tuple[str, ...] = ()
    noise: bool = limited(False, "noise", choices=(True, False))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DataSetOrder:
        """As :meth:`Order.from_json`."""
        heads = SampleOrder.from_json(values.get("heads", {}))
        return super().from_json({**values, "heads": heads, "protocols": tuple(values.get("protocols", ()))})

    def suffixes(self) -> dict[str, str]:
        """Protocols by BIDS' suffix. Raises ImageError when there is none, or two of one suffix; ProtocolError for an unknown one."""
        found = {suffix_of(spec): spec for spec in self.protocols}
        if not found or len(found) < len(self.protocols):
            raise ImageError("A data set needs one protocol for each contrast.", Remedy.DO(this="give other protocols"))
        return found


def write_data_set(order: DataSetOrder, out: Path, batch: Batch) -> list[Row]:
    """Sample the heads of an ``order`` into the BIDS data set ``out``; a row for each head, also in ``cohort.tsv``.

    Heads that are complete are kept, so that a run that was stopped goes on with the same files, and a longer run adds heads; a failure is
    a row and stops nothing. Raises ImageError when ``out`` holds something else, WeightsError without a sampling model.
    """
    out, suffixes = Path(out).absolute(), order.suffixes()
    sampler = _sampler(order.heads.weights)
    _begin(order, suffixes, sampler, out)
    numbers = range(order.heads.count)
    one = {n: replace(order, heads=replace(order.heads, seed=order.heads.seed + n, count=1)) for n in numbers}
    tasks = [Task(Visit(participant(seed.heads.seed), None, {}), seed, out, out, batch.overwrite, make_head) for seed in one.values()]
    rows: list[Row] = []
    for row in _done(tasks, batch):
        rows.append(replace(row, status=SAMPLED) if row.status == ESTIMATED else row)
        batch.done(rows[-1], len(rows), len(tasks))
    rows.sort(key=lambda row: row.participant)
    write_table(rows, out, keep=True, patience=batch.patience)
    write_index(out, rows, "Synthetic heads")
    return rows


def participant(seed: int) -> str:
    """BIDS' label of the head of a seed: more heads later, or other seeds, do not change it."""
    return f"sub-{seed:06d}"


def split_of(seed: int) -> str:
    """train, validation or test: 8, 1 and 1 of each ten seeds in a row, whatever else is sampled."""
    return str(np.random.default_rng([seed // len(_SPLITS), _SPLIT]).permutation(_SPLITS)[seed % len(_SPLITS)])


def make_head(visit: Visit, order: DataSetOrder, root: Path, folder: Path) -> dict[str, Any]:
    """Sample a head and write its images and labels into a folder; its report. Raises a PhysMRISynthError."""
    head = _sampler(order.heads.weights).head(order.heads)
    labels, images = head.maps.image(head.structures()), {}
    for number, (suffix, spec) in enumerate(order.suffixes().items()):
        render = RenderOrder(spec, seed=order.heads.seed)
        contrast = rendered(head.maps, with_random_effects(render, number) if order.noise else render)
        name = f"{visit.name}_desc-synthetic_{suffix}"
        write_image(_stored(contrast), folder / f"{name}.nii.gz")
        write_json(rendering_fields(contrast), folder / f"{name}.json")
        images[suffix] = contrast.image
    write_labels(labels, folder, f"{visit.name}_desc-{LABELS}_dseg", structures_table())
    write_thumbnail(images, head.maps.image(head.maps.mask.astype(np.uint8)), folder / f"{visit.name}_report.png")
    return {**head.report, "split": split_of(order.heads.seed)}


def _stored(contrast: Rendering) -> sitk.Image:
    """The image in whole numbers, as scanners store them, in a third of the space; ratios stay as they are."""
    if not contrast.protocol.sequence.uses_pd:
        return contrast.image
    return image_like(np.rint(contrast.voxels).astype(np.int16), contrast.grid)


def with_random_effects(order: RenderOrder, number: int) -> RenderOrder:
    """An image's own noise and scanner effects."""
    rng = np.random.default_rng([order.seed, _EFFECTS, number])
    snr, field_percent, ringing, motion, moves = np.array([rng.uniform(*_SNR), *rng.uniform(size=4)]).round(3).tolist()
    effects = ScannerEffects(
        receive_field=field_percent * _LIMITS.receive_field,
        ringing=ringing * _LIMITS.ringing,
        motion=motion * _LIMITS.motion if moves < _MOTION_SHARE else 0.0,
    )
    return replace(order, snr=snr, effects=effects)


@cache
def _sampler(weights: str) -> Sampler:
    """Loaded once in each process."""
    return sampler_of(SampleOrder(weights=weights))


def _done(tasks: Sequence[Task], batch: Batch) -> Iterator[Row]:
    """The rows as heads are done: in this process, in others, or on a cluster."""
    if batch.scheduler is not None:
        return on_cluster(tasks, batch.scheduler, batch.patience)
    return in_processes(tasks, batch.jobs) if batch.jobs > 1 else map(estimate_visit, tasks)


def _begin(order: DataSetOrder, suffixes: Mapping[str, str], sampler: Sampler, out: Path) -> None:
    """Write description, card and table of participants, or go on with an earlier run. Raises ImageError for a folder of something else,
    or of other options."""
    if is_taken(out) and (earlier := _earlier_order(out)) != _without_heads(order.as_json()):
        what = "no data set of synthetic heads" if earlier is None else "heads that were sampled with other options"
        raise ImageError(f"{out} exists already and holds {what}.", Remedy.DO(this="choose another folder"))
    made = {"Name": _MADE_BY, "Version": __version__, "Order": order.as_json()}
    about = {
        "Name": "Synthetic heads", "BIDSVersion": "1.10.0", "DatasetType": "derivative", "License": "Apache-2.0", "GeneratedBy": [made],
        "SamplerSHA256": sampler.model.sha256, "DecoderSHA256": sampler.decoder.sha256,
    }  # fmt: skip
    try:
        out.mkdir(parents=True, exist_ok=True)
        seeds = sorted({*_earlier_seeds(out), *range(order.heads.seed, order.heads.seed + order.heads.count)})
        write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", out / DESCRIPTION)
        write_text(_participants(seeds), out / "participants.tsv")
        write_text("*_report.json\n*_report.png\ncohort.tsv\nindex.html\n", out / ".bidsignore")
        write_text(_card(order, suffixes, sampler, seeds), out / "README.md")
    except OSError as error:
        raise ImageError(f"{out} could not be written ({error.strerror or error}). Check free space and permissions.") from error


def _earlier_order(out: Path) -> dict[str, Any] | None:
    """The order of an earlier run, without which heads; None for a folder of something else."""
    try:
        told = json.loads((out / DESCRIPTION).read_text(encoding="utf-8"))
        made = next(made["Order"] for made in told["GeneratedBy"] if made["Name"] == _MADE_BY)
        return _without_heads(DataSetOrder.from_json(made).as_json())  # with options that the earlier version did not have
    except (OSError, ValueError, LookupError, TypeError, StopIteration, PhysMRISynthError):
        return None


def _without_heads(order: Mapping[str, Any]) -> dict[str, Any]:
    return {**order, "heads": {name: value for name, value in order["heads"].items() if name not in ("seed", "count")}}


def _earlier_seeds(out: Path) -> list[int]:
    """Seeds of the heads in the table of an earlier run."""
    path = out / "participants.tsv"
    lines = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")), delimiter="\t") if path.is_file() else ()
    return [int(line["seed"]) for line in lines]


def _participants(seeds: Sequence[int]) -> str:
    return "participant_id\tseed\tsplit\n" + "".join(f"{participant(seed)}\t{seed}\t{split_of(seed)}\n" for seed in seeds)


def _card(order: DataSetOrder, suffixes: Mapping[str, str], sampler: Sampler, seeds: Sequence[int]) -> str:
    protocols = ", ".join(f"{suffix} ({spec})" for suffix, spec in suffixes.items())
    effects = ", each with its own noise and scanner effects (in its JSON file)" if order.noise else ", without noise"
    return _CARD.format(
        count=len(seeds), version=__version__, first=seeds[0], last=seeds[-1], protocols=protocols, effects=effects, labels=LABELS,
        sampler=sampler.model.sha256, decoder=sampler.decoder.sha256,
    )  # fmt: skip
