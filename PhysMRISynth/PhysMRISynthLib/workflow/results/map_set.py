"""Everything about a head that a folder of maps holds: PD, T1, T2 with their SDs, the tissues, and what else was estimated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...errors import ImageError
from ...imaging.head.tissue_labels import tissue_labels
from ...imaging.intake.volumes import Volume, read_volume, same_grid
from ...imaging.map_files import MapFiles, find_map_files
from ...imaging.tissue_maps import PER_CENT, TissueMaps, read_tissue_maps
from ...physics.tissues import PROPERTIES

_FRACTION = "fluid_fraction"
_RESIDUALS = "residual_*.nii.gz"
_DO_NOT_USE = "do_not_use"


@dataclass(frozen=True)
class MapSet:
    """``maps`` with the SDs that are known; ``labels`` (z, y, x; as tissue_labels numbers them), None where there is no label map;
    ``extra`` maps (z, y, x) by name: the fraction of fluid, residuals, as far as the folder has them; ``visit`` is how BIDS names the files
    (sub-01_ses-a), empty where they have plain names."""

    maps: TissueMaps
    labels: np.ndarray | None = None
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)
    visit: str = ""

    @property
    def field_strength(self) -> float:
        """In tesla; 3 where the report does not say."""
        stated = self.maps.provenance.get("field_strength_tesla")
        return float(stated) if isinstance(stated, (int, float)) and 1.0 <= stated <= 4.0 else 3.0

    @property
    def doubts(self) -> tuple[str, ...]:
        """What the estimate's verdict says against using the maps, a sentence each; nothing where they are good, or nobody judged them."""
        report = self.maps.provenance
        if report.get("verdict") != _DO_NOT_USE:
            return ()
        reasons = report.get("reasons")
        texts = [str(entry.get("text", "")) for entry in reasons if isinstance(entry, Mapping)] if isinstance(reasons, list) else []
        return (" ".join(["The estimate's own verdict is: do not use.", *texts]),)


def read_map_set(folder: Path) -> MapSet:
    """Read the maps that ``estimate``, ``sample``, ``import`` or a BIDS derivative have in a folder.

    Raises ImageError when a map is missing or damaged, or when two of the files lie on different grids.
    """
    files = find_map_files(folder)
    maps = with_sds(read_tissue_maps(folder), folder)
    labels = _on_grid(files.read("tissues"), maps, files).astype(np.uint8) if files.path("tissues").exists() else None
    if labels is not None and int(labels.max()) > tissue_labels()[-1].index:
        raise ImageError(f"{files.path('tissues')} has labels that stand for no tissue. Restore it, or delete it.")
    others = [path for path in (Path(folder) / f"{_FRACTION}.nii.gz", *sorted(Path(folder).glob(_RESIDUALS))) if path.is_file()]
    extra = {path.name.removesuffix(".nii.gz"): _on_grid(read_volume(path, constant=True), maps, files) for path in others}
    return MapSet(maps, labels, extra, files.bids or "")


def with_sds(maps: TissueMaps, folder: Path) -> TissueMaps:
    """``maps`` with the SDs that lie beside them in ``folder``. Raises ImageError when one is on another grid or negative in the head."""
    deviations, files = {}, find_map_files(folder)
    for name in PROPERTIES:
        file = files.path(f"{name}_sd")
        if not file.exists():
            continue
        volume = files.read(f"{name}_sd")
        if not same_grid(volume.image, maps.grid) or volume.voxels[maps.mask].min() < 0:
            raise ImageError(f"{file} is not the SD of the maps beside it. Give maps of one estimate.")
        deviations[name] = volume.voxels / np.float32(PER_CENT) if name == "PD" else volume.voxels
    return replace(maps, sd=deviations)


def _on_grid(volume: Volume, maps: TissueMaps, files: MapFiles) -> np.ndarray:
    if not same_grid(volume.image, maps.grid):
        raise ImageError(f"{volume.path} and {files.path('PD')} lie on different grids. Give maps of one estimate.")
    return volume.voxels
