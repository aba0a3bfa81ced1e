"""Posterior samples as folders of maps, and what they say of derived numbers: means of tissues, and their contrast in a rendering."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...imaging.head.tissue_labels import tissue_labels
from ...imaging.intake.volumes import write_image
from ...imaging.tissue_maps import PER_CENT, TissueMaps
from ...physics.protocol import Protocol
from ...physics.tissues import PROPERTIES
from ..estimation.tissue_medians import UNITS
from ..rendering.contrast_choice import protocol_of
from ..rendering.render import render
from ..results.map_set import MapSet
from ..results.outputs import REPORT, check_free, whole_folder, write_json
from ..results.tables import write_table
from .posterior import posterior_samples
from .posterior_order import PosteriorOrder

TABLE = "posterior.tsv"
_REFERENCE = "white_matter"
_LEAST_VOXELS = 50
_INTERVAL = (5.0, 95.0)


def write_posterior(
    head: MapSet,
    order: PosteriorOrder,
    out: Path,
    protocols: Sequence[str] = (),
    overwrite: bool = False,
    progress: Callable[[float], None] = lambda fraction: None,
) -> list[Path]:
    """Write samples into folders ``posterior_0001`` … of ``out``, each complete or absent, and ``posterior.tsv`` with their
    :func:`derived_rows` where the maps have a label map; returns the folders.

    Raises ImageError, before the first, when one exists already and ``overwrite`` is False, and for maps without uncertainty;
    ProtocolError for an unknown protocol.
    """
    contrasts = {spec: protocol_of(head.maps, spec) for spec in protocols}
    folders = [out / f"posterior_{number:04d}" for number in range(1, order.count + 1)]
    samples = posterior_samples(head, order.count, order.seed)
    for folder in (*folders, out / TABLE):
        check_free(folder, overwrite)
    numbers = []
    for number, (folder, maps) in enumerate(zip(folders, samples, strict=True), start=1):
        with whole_folder(folder, overwrite) as temporary:
            images = maps.files()
            for name, image in images.items():
                write_image(image, temporary / name)
            write_json({**maps.provenance, "files": sorted([REPORT, *images])}, temporary / REPORT)
        numbers.append(derived_numbers(maps, head, contrasts))
        progress(number / order.count)
    if rows := derived_rows(numbers):
        write_table(rows, out / TABLE)
    return folders


def derived_numbers(maps: TissueMaps, head: MapSet, contrasts: Mapping[str, Protocol]) -> dict[tuple[str, str], float]:
    """Of one set of maps, by tissue and quantity: the tissue's mean PD (%), T1 and T2 (ms), and for each protocol its mean signal over that
    of white matter (%). Tissues are those of the label map of ``head``; none where it has no label map."""
    where = {label.name: head.labels == label.index for label in tissue_labels()} if head.labels is not None else {}
    where = {name: mask for name, mask in where.items() if np.count_nonzero(mask) >= _LEAST_VOXELS}
    images = {"PD": maps.pd * PER_CENT, "T1": maps.t1, "T2": maps.t2}
    found = {(name, quantity): float(image[mask].mean()) for quantity, image in images.items() for name, mask in where.items()}
    for spec, protocol in contrasts.items() if _REFERENCE in where else ():
        image = render(maps, protocol)
        white = float(image[where[_REFERENCE]].mean())
        found |= {(name, spec): PER_CENT * float(image[mask].mean()) / white for name, mask in where.items() if name != _REFERENCE}
    return found


def derived_rows(numbers: Sequence[Mapping[tuple[str, str], float]]) -> list[dict[str, Any]]:
    """A row for each derived number of the samples: mean, SD, and the interval that holds 90 % of them."""
    rows = []
    for tissue, quantity in numbers[0] if numbers else ():
        values = np.array([one[tissue, quantity] for one in numbers])
        low, high = np.percentile(values, _INTERVAL).tolist()
        unit = UNITS[quantity] if quantity in PROPERTIES else "% of white matter's signal"
        rows.append({
            "tissue": tissue, "quantity": quantity, "unit": unit, "mean": float(values.mean()), "sd": float(values.std(ddof=1)),
            "low_5": low, "high_95": high,
        })  # fmt: skip
    return rows
