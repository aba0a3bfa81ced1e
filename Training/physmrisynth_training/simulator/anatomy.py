"""The simulator's first half: from a label map to a deformed piece of a head with PD, T1 and T2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.head.masks import bounding_box
from PhysMRISynthLib.imaging.smooth import smooth_noise
from PhysMRISynthLib.physics.tissues import tissue_table

from .fast_resampling import rotation
from .labels import tissue_index
from .simulated_head import Sample, note

TISSUES = tuple(tissue.name for tissue in tissue_table())
LESION = len(TISSUES)
"""The class of lesions, after the tissues of the table."""
AIR = TISSUES.index("air")
BRAIN = tuple(row for row, tissue in enumerate(tissue_table()) if tissue.region == "brain")
ORIENTATION = "LPS"
"""Axes of label maps and network inputs: x to the left, y to the back, z up."""


@dataclass(frozen=True)
class LabelledHead:
    """A head's tissues (z, y, x; 1 mm, LPS): uint8 rows of the tissue table, cut to the head; its brain's bounding box (low, high); what is
    known of the person, by names of CONDITIONS."""

    name: str
    tissue: np.ndarray
    brain_box: tuple[np.ndarray, np.ndarray]
    numbers: Mapping[str, float] = field(default_factory=dict)


def read_labelled_head(path: Path) -> LabelledHead:
    """Read a label map (FreeSurfer-style numbers). Raises ImageError when it cannot be read or shows no brain."""
    try:
        image = sitk.DICOMOrient(sitk.ReadImage(str(path)), ORIENTATION)
    except RuntimeError as error:
        raise ImageError(f"The label map {path} cannot be read: {error}") from None
    labels = sitk.GetArrayFromImage(image)
    if not np.allclose(image.GetSpacing(), 1.0, atol=0.05):
        raise ImageError(f"The label map {path} has voxels of {image.GetSpacing()} mm. Resample it to 1 mm.")
    tissue = tissue_index(np.round(labels).astype(np.int32))
    head = bounding_box(tissue != AIR)
    cut = np.ascontiguousarray(tissue[head]) if head else tissue
    brain = np.isin(cut, BRAIN)
    box = bounding_box(brain)
    if box is None or brain.sum() < 100_000:
        raise ImageError(f"The label map {path} shows no brain. FreeSurfer's label numbers are expected.")
    return LabelledHead(path.name, cut, (np.array([side.start for side in box]), np.array([side.stop for side in box])))


def find_label_maps(folder: Path, numbers: Sequence[int]) -> list[Path]:
    """Files ``head_NN.nii.gz`` of a folder. Raises ImageError when one is missing."""
    paths = [folder / f"head_{number:02d}.nii.gz" for number in numbers]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise ImageError(f"{folder} lacks {', '.join(missing)}. Give the folder that holds head_labels.")
    return paths


@dataclass(frozen=True)
class PlaceHead:
    """Crop a piece of ``shape`` from a head that is randomly mirrored, scaled, sheared, rotated and warped.

    Above the label map there is air; on the other sides its edge values are repeated (a cut neck is continued as air).
    """

    head: LabelledHead
    shape: tuple[int, int, int]
    turn_degrees: float = 10.0
    scale: float = 0.12
    shear: float = 0.05
    warps: tuple[tuple[float, float], ...] = ((48.0, 4.0), (20.0, 1.5))
    """Scale and SD of the elastic displacement, both in mm."""
    elsewhere: float = 0.15
    """Probability that the piece is centred anywhere in the head instead of in the brain's box."""
    stray: float = 1.0
    """Largest distance from the centre of that box, relative to the distance that keeps most of the brain in the piece."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        tissue = self.head.tissue
        angles = np.radians(rng.uniform(-self.turn_degrees, self.turn_degrees, 3))
        matrix = rotation(angles) @ (np.diag(1.0 + rng.uniform(-self.scale, self.scale, 3)) + rng.uniform(-self.shear, self.shear, (3, 3)))
        mirror = bool(rng.integers(2))
        low, high = self.head.brain_box
        spare = np.maximum((high - low) - np.array(self.shape) * 0.6, 0.0)
        if anywhere := bool(rng.random() < self.elsewhere):  # include face and neck
            low, high, spare = np.zeros(3), np.array(tissue.shape), np.array(tissue.shape) * 0.6
        centre = (low + high) / 2.0 + self.stray * (rng.uniform(-0.5, 0.5, 3) * spare + rng.normal(0.0, 4.0, 3))
        positions = self._positions(matrix, centre, mirror, rng)
        inside = np.ones(self.shape, dtype=bool)
        flat = np.zeros(self.shape, dtype=np.int64)
        for axis, position in enumerate(positions):
            index = np.rint(position).astype(np.int32)
            inside &= (index >= 0) & (index < tissue.shape[axis])
            flat = flat * tissue.shape[axis] + np.clip(index, 0, tissue.shape[axis] - 1)
        sample.tissue = np.where(inside, tissue.reshape(-1)[flat], np.uint8(AIR))
        note(sample, self, head=self.head.name, matrix=matrix.tolist(), centre=centre.tolist(), mirror=mirror, anywhere=anywhere)
        return sample

    def _positions(self, matrix: np.ndarray, centre: np.ndarray, mirror: bool, rng: np.random.Generator) -> np.ndarray:
        """Position in the label map of each voxel of the piece: (3, *shape)."""
        axes = [np.arange(n, dtype=np.float32) - (n - 1) / 2.0 for n in self.shape]
        displacement = np.zeros((3, *self.shape), dtype=np.float32)
        for scale, sd in self.warps:
            displacement += np.float32(sd) * smooth_noise(self.shape, scale, rng, 3)
        positions = np.empty((3, *self.shape), dtype=np.float32)
        for row in range(3):
            turned = matrix.astype(np.float32)[row]
            positions[row] = (
                turned[0] * axes[0][:, None, None] + turned[1] * axes[1][None, :, None] + turned[2] * axes[2][None, None, :]
            ) + displacement[row]
        if mirror:
            positions[2] *= -1.0
            middle = np.array([0.0, 0.0, sum(box[2] for box in self.head.brain_box)])
            centre = np.where([False, False, True], middle - centre, centre)
        return positions + centre.astype(np.float32)[:, None, None, None]


@dataclass(frozen=True)
class AddLesions:
    """Lesions in the white matter: patches of patients' lesion masks (0/1 volumes, 1 mm), or smooth blobs without masks."""

    masks: tuple[np.ndarray, ...] = ()
    probability: float = 0.5
    most_blobs: int = 30
    radius_mm: tuple[float, float] = (1.5, 7.0)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() > self.probability:
            note(sample, self, kind="none")
            return sample
        if self.masks and rng.random() < 0.5:
            kind, lesion = "patient", self._from_patient(sample.shape, rng)
        else:
            kind, lesion = "blobs", self._blobs(sample, rng)
        white = sample.tissue == TISSUES.index("white_matter")
        sample.tissue = np.where(lesion & white, np.uint8(LESION), sample.tissue)
        note(sample, self, kind=kind, voxels=int((sample.tissue == LESION).sum()))
        return sample

    def _from_patient(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """A random patch of a mask, around one of its lesions, mirrored at random."""
        mask = self.masks[int(rng.integers(len(self.masks)))]
        points = np.argwhere(mask)
        centre = points[int(rng.integers(len(points)))]
        lesion = np.zeros(shape, dtype=bool)
        source, target = [], []
        for axis, n in enumerate(shape):
            start = int(centre[axis] - rng.integers(n // 4, 3 * n // 4 + 1))
            first, last = max(start, 0), min(start + n, mask.shape[axis])
            source.append(slice(first, last))
            target.append(slice(first - start, last - start))
        lesion[tuple(target)] = mask[tuple(source)] > 0
        return lesion[..., ::-1] if rng.integers(2) else lesion

    def _blobs(self, sample: Sample, rng: np.random.Generator) -> np.ndarray:
        white = np.flatnonzero(sample.tissue == TISSUES.index("white_matter"))
        lesion = np.zeros(sample.shape, dtype=bool)
        if not white.size:
            return lesion
        rough = 1.0 + 0.25 * smooth_noise(sample.shape, 4.0, rng)[0]
        for _ in range(int(rng.integers(1, self.most_blobs + 1))):
            centre = np.array(np.unravel_index(white[int(rng.integers(white.size))], sample.shape))
            radii = np.exp(rng.uniform(*np.log(self.radius_mm))) * np.exp(rng.normal(0.0, 0.25, 3))
            low = np.maximum(centre - np.ceil(2 * radii).astype(int), 0)
            high = np.minimum(centre + np.ceil(2 * radii).astype(int) + 1, sample.shape)
            box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            offsets = np.ogrid[box]
            distance = sum(((o - c) / r) ** 2 for o, c, r in zip(offsets, centre, radii, strict=True))
            lesion[box] |= distance < rough[box] ** 2
        return lesion


@dataclass(frozen=True)
class SplitTissues:
    """Split labels of several tissues: soft tissue into muscle with fat, scalp into skin over fat."""

    most_fat: float = 0.5
    most_skin: float = 0.4

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        muscle, fat = TISSUES.index("muscle"), TISSUES.index("fat")
        shares = rng.uniform(0.0, self.most_fat), rng.uniform(0.0, self.most_skin)
        original = sample.tissue
        noise = smooth_noise(sample.shape, float(rng.uniform(3.0, 10.0)), rng)[0]
        cuts = np.quantile(noise.reshape(-1)[::97], [1.0 - share for share in shares])
        tissue = np.where((original == muscle) & (noise > cuts[0]), np.uint8(fat), original)
        sample.tissue = np.where((original == fat) & (noise > cuts[1]), np.uint8(muscle), tissue)
        note(sample, self, fat_in_muscle=shares[0], skin_in_fat=shares[1])
        return sample


@dataclass(frozen=True)
class DrawTissueValues:
    """PD, T1 and T2: each tissue of the head is sampled around literature values at a random field strength, with texture."""

    field_strengths: tuple[float, ...] = (1.5, 3.0)
    between: float = 1.3
    """Factor on the table's spread between heads; too wide is safer than too narrow."""
    lesion_t1: tuple[float, float] = (1.15, 1.8)
    """T1 of lesions over that of white matter; their T2 and PD follow it."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        strength = float(self.field_strengths[int(rng.integers(len(self.field_strengths)))])
        table = tissue_table(strength)
        theta = np.stack([t.theta + rng.normal(0.0, self.between * t.between_heads) for t in table])
        longer = rng.uniform(*np.log(self.lesion_t1))
        lesion = theta[TISSUES.index("white_matter")] + np.array([0.35, 1.0, 1.6]) * longer + rng.normal(0.0, [0.03, 0.05, 0.15])
        values = np.concatenate([theta, lesion[None]]).astype(np.float32)
        within = np.stack([*(t.within_head for t in table), np.array([0.05, 0.12, 0.2])]).astype(np.float32)
        sample.theta = np.ascontiguousarray(values[sample.tissue].transpose(3, 0, 1, 2))
        coarse, fine = rng.uniform(0.3, 1.0), rng.uniform(0.1, 0.5)
        texture = self._texture(sample.shape, float(coarse), float(fine), rng)
        for row in range(3):
            sample.theta[row] += within[:, row][sample.tissue] * texture[row]
        sample.theta[0] = np.minimum(sample.theta[0], np.float32(np.log(1.1)))
        sample.theta[2] = np.minimum(sample.theta[2], sample.theta[1])  # T2 cannot exceed T1 by much in any tissue
        sample.field_strength = strength
        note(sample, self, field_strength=strength, theta=values.tolist(), coarse=coarse, fine=fine)
        return sample

    @staticmethod
    def _texture(shape: tuple[int, ...], coarse: float, fine: float, rng: np.random.Generator) -> np.ndarray:
        """(3, *shape): half of it shared, since PD, T1 and T2 vary together with water."""
        wide = smooth_noise(shape, float(rng.uniform(8.0, 24.0)), rng, 4)
        narrow = smooth_noise(shape, 1.5, rng, 4)
        shared = coarse * wide[0] + fine * narrow[0]
        return np.float32(np.sqrt(0.5)) * (shared + coarse * wide[1:] + fine * narrow[1:])
