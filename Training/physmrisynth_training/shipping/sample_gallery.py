"""A picture of synthetic heads in three planes and three contrasts: they should look like scans, with a dark background.

Run as ``python -m physmrisynth_training.shipping.sample_gallery --out FILE.png [--count N] [--seed S] [--steps K] [--maps DIR]``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.imaging.head.masks import bounding_box
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps, read_tissue_maps
from PhysMRISynthLib.workflow.rendering.render import render
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from PhysMRISynthLib.workflow.sampling.sample import installed_sampler, sampled_heads

from ..evaluation.drawing import Picture, draw_pictures
from ..simulator.standard_acquisition import PROTOCOLS

_BRIGHT, _MARGIN = 99.0, 1.1
_FAT_T1_MS = 600.0
"""Shorter T1 is fat, which would outshine the brain in a T1w image."""
_PLANES = ("axial", "coronal", "sagittal")
_OFF_MIDLINE = 6


def head_pictures(name: str, maps: TissueMaps) -> list[Picture]:
    """T1w, T2w and FLAIR of a head, each through its middle in three planes (nine pictures)."""
    pictures = []
    for role, protocol in PROTOCOLS.items():
        image = render(maps, protocol)
        level = brightness(image, maps)
        pictures += [Picture(f"{name} {role}\n{title}", plane(image, maps.mask, axis), 0.0, level) for axis, title in enumerate(_PLANES)]
    return pictures


def brightness(image: np.ndarray, maps: TissueMaps) -> float:
    """The level at which an image (z, y, x) of ``maps`` is shown white: above all tissue but fat."""
    return _MARGIN * float(np.percentile(image[maps.mask & (maps.t1 > _FAT_T1_MS)], _BRIGHT))


def plane(image: np.ndarray, mask: np.ndarray, axis: int) -> np.ndarray:
    """The central plane of a head (z, y, x), cropped to it: front up, or top up."""
    box = bounding_box(mask)
    assert box is not None
    piece = image[box]
    middle = piece.shape[axis] // 2 + (_OFF_MIDLINE if axis == 2 else 0)
    cut = np.take(piece, min(middle, piece.shape[axis] - 1), axis=axis)
    return cut if axis == 0 else cut[::-1]


def sampled(count: int, seed: int, steps: int, sampler: Path | None, vae: Path | None) -> Iterable[tuple[str, TissueMaps]]:
    """Heads by the name of their seed. Raises WeightsError when there is no sampling model."""
    for number, head in enumerate(sampled_heads(installed_sampler(sampler, vae), SampleOrder(seed, steps, count=count))):
        yield f"seed {seed + number}", head.maps


def main() -> int:
    """Command line of this module. Returns 0, or 2 after an error message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=SampleOrder.steps)
    parser.add_argument("--maps", type=Path, help="show a folder of 'physmrisynth sample' instead of sampling")
    parser.add_argument("--sampler", type=Path, help="a .safetensors file in place of the installed sampling model")
    parser.add_argument("--vae", type=Path, help="a .safetensors file in place of the network that decodes its latents")
    options = parser.parse_args()
    try:
        if options.maps is not None:
            heads: Iterable[tuple[str, TissueMaps]] = (
                (folder.name, read_tissue_maps(folder)) for folder in sorted(options.maps.glob("sample_*"))[: options.count]
            )
        else:
            heads = sampled(options.count, options.seed, options.steps, options.sampler, options.vae)
        draw_pictures([head_pictures(name, maps) for name, maps in heads], options.out)
    except PhysMRISynthError as error:
        parser.exit(2, f"{error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
