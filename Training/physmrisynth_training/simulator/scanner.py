"""The simulator's second half: from PD, T1 and T2 to simulated scans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.network.inference import normalised
from PhysMRISynthLib.physics.noise import add_noise, receive_field

from .anatomy import AIR, BRAIN, LESION, TISSUES
from .drawn_protocols import random_protocol
from .fast_resampling import blurred, moved, resized, rotation
from .simulated_head import Sample, note

_VOXEL_MM = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class TransmitField:
    """A smooth transmit field that changes flip angles by up to ``greatest``."""

    greatest: float = 0.2

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        amplitude = float(rng.uniform(0.0, self.greatest))
        sample.b1 = receive_field(sample.shape, _VOXEL_MM, amplitude, rng, shortest_mm=200.0)
        note(sample, self, amplitude=amplitude)
        return sample


@dataclass(frozen=True)
class StripSkull:
    """Sometimes strip the skull, with an imprecise edge, and leave air."""

    probability: float = 0.25

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        strip = bool(rng.random() < self.probability)
        note(sample, self, stripped=strip)
        if strip:
            brain = np.isin(sample.tissue, (*BRAIN, LESION)).astype(np.float32)
            level = float(rng.uniform(0.25, 0.75))
            kept = blurred(brain, (1.5, 1.5, 1.5)) > level
            sample.tissue = np.where(kept, sample.tissue, np.uint8(AIR))
            sample.images = {role: image * kept for role, image in sample.images.items()}
            note(sample, self, level=level)
        return sample


@dataclass(frozen=True)
class Acquire:
    """One image for each of ``roles`` by the signal equation of a random protocol."""

    roles: tuple[str, ...] = ROLES

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if sample.theta is None:
            raise ValueError("Acquire needs a sample with tissue values: DrawTissueValues comes first.")
        pd, t1, t2 = np.exp(sample.theta)
        for role in self.roles:
            protocol = random_protocol(role, sample.field_strength, rng)
            b1 = np.float32(1.0) if sample.b1 is None else sample.b1
            sample.protocols[role] = protocol
            sample.images[role] = np.asarray(protocol.signal(pd, t1, t2, b1), dtype=np.float32)
            note(sample, self, **{role: protocol.spec})
        return sample


@dataclass(frozen=True)
class SuppressFat:
    """Suppress fat in some images, to a fraction of its signal, in scalp and marrow alike."""

    probability: float = 0.4
    share: tuple[float, float] = (0.05, 0.6)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        fatty = np.isin(sample.tissue, [TISSUES.index("fat"), TISSUES.index("marrow")])
        for role in sample.images:
            if rng.random() < self.probability:
                left = float(rng.uniform(*self.share))
                sample.images[role] = np.where(fatty, np.float32(left) * sample.images[role], sample.images[role])
                note(sample, self, **{role: left})
        return sample


@dataclass(frozen=True)
class Misregister:
    """Move every image but the first slightly, as after imperfect registration."""

    shift_mm: float = 0.7
    turn_degrees: float = 0.7
    probability: float = 0.5

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        for role in list(sample.images)[1:]:
            if rng.random() < self.probability:
                shift = rng.uniform(-self.shift_mm, self.shift_mm, 3)
                angles = np.radians(rng.uniform(-self.turn_degrees, self.turn_degrees, 3))
                sample.images[role] = moved(sample.images[role], rotation(angles), shift)
                note(sample, self, **{role: {"shift_mm": shift.tolist(), "angles": angles.tolist()}})
        return sample


@dataclass(frozen=True)
class Digitise:
    """Average over voxels, add noise, and resample to the common grid.

    Half the images have slices up to ``thickest_mm`` along one axis. Noise is Rician, with an SD relative to the 99th percentile.
    """

    thickest_mm: float = 5.0
    widest_mm: float = 1.3
    noise: tuple[float, float] = (0.004, 0.04)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        for role, image in sample.images.items():
            size = np.full(3, rng.uniform(0.7, self.widest_mm))
            if rng.random() < 0.5:
                size[int(rng.choice(3, p=[0.6, 0.2, 0.2]))] = rng.uniform(1.5, self.thickest_mm)
            # a box of one voxel has an SD of 0.29 voxels; slice profiles and point spread are wider, and tissue borders at voxels of
            # 1 mm are sharper than in any scan
            coarse = blurred(image, 0.45 * np.maximum(size, 1.0))
            shape = [max(8, round(n / s)) if s > 1.05 else n for n, s in zip(image.shape, size, strict=True)]
            coarse = resized(coarse, shape) if tuple(shape) != image.shape else coarse
            level = float(np.exp(rng.uniform(*np.log(self.noise))))
            noisy = add_noise(np.abs(coarse), level * float(np.percentile(coarse, 99)), rng)
            sample.images[role] = resized(noisy, image.shape) if noisy.shape != image.shape else noisy
            note(sample, self, **{role: {"voxel_mm": size.tolist(), "noise": level}})
        return sample


@dataclass(frozen=True)
class ReceiveField:
    """A smooth receive field of up to ``greatest`` (log) on each image."""

    greatest: float = 0.4

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        for role in sample.images:
            amplitude = float(rng.uniform(0.0, self.greatest))
            sample.images[role] = sample.images[role] * receive_field(sample.shape, _VOXEL_MM, amplitude, rng)
            note(sample, self, **{role: amplitude})
        return sample


@dataclass(frozen=True)
class ScaleIntensity:
    """Scale like the network's inputs, with a random factor, since a piece's brightest voxels are not the head's."""

    spread: float = 0.12

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        for role, image in sample.images.items():
            factor = float(np.exp(rng.normal(0.0, self.spread)))
            sample.images[role] = factor * normalised(image)
            note(sample, self, **{role: factor})
        return sample
