"""A sheet of 24 images for fresh eyes, half of test people and half of synthetic heads: which is which?

People's label maps get tissue values and texture as synthetic heads do; all images have noise and scanner effects of their own, as in a
data set of synthetic heads. The order is random and repeatable; the key is a file of its own.

Run as ``python -m physmrisynth_training.shipping.blind_sheet --people DIR --out SHEET.png --key KEY.tsv [--heads DIR | --count N]``.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, cycle, islice
from pathlib import Path

import numpy as np

from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.whole_file import whole_file
from PhysMRISynthLib.workflow.rendering.order import RenderOrder
from PhysMRISynthLib.workflow.rendering.rendered import rendered
from PhysMRISynthLib.workflow.sampling.data_set import with_random_effects
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from PhysMRISynthLib.workflow.sampling.sample import installed_sampler

from ..evaluation.drawing import Picture, draw_pictures
from ..evaluation.heads.folders import HeadFile, heads_in
from ..evaluation.heads.looks import CONTRASTS
from .command_line import finish
from .sample_gallery import brightness, plane

PANELS = 24
_EACH = PANELS // 2 // len(CONTRASTS)
"""Images of people, and of synthetic heads, in each contrast."""
_PER_ROW = 4
_PEOPLE, _SYNTHETIC = "person", "synthetic"


@dataclass(frozen=True)
class Panel:
    """An image to be: of the head ``name`` of a ``kind``, whose ``maps`` are made when they are needed, in a ``contrast``."""

    kind: str
    name: str
    contrast: str
    maps: Callable[[], TissueMaps]

    def pictures(self, title: str, seed: int) -> list[Picture]:
        """Three planes of the image with its own noise and scanner effects; ``title`` on the first."""
        maps = self.maps()
        order = with_random_effects(RenderOrder(CONTRASTS[self.contrast], seed=seed), list(CONTRASTS).index(self.contrast))
        image = rendered(maps, order).voxels
        level = brightness(image, maps)
        return [Picture(title if axis == 0 else "", plane(image, maps.mask, axis), 0.0, level) for axis in range(3)]


def panels(people: Sequence[HeadFile], heads: Sequence[tuple[str, Callable[[], TissueMaps]]], seed: int) -> list[Panel]:
    """PANELS panels in random order; people and synthetic heads take turns."""
    known: list[tuple[str, Callable[[], TissueMaps]]] = [
        (person.name, partial(person.maps, seed + number)) for number, person in enumerate(people)
    ]
    found = []
    for kind, group in ((_PEOPLE, known), (_SYNTHETIC, list(heads))):
        contrasts = [contrast for contrast in CONTRASTS for _ in range(_EACH)]
        turns = islice(cycle(group), len(contrasts))
        found += [Panel(kind, name, contrast, maps) for contrast, (name, maps) in zip(contrasts, turns, strict=True)]
    return [found[place] for place in np.random.default_rng(seed).permutation(len(found))]


def write_sheet(chosen: Sequence[Panel], seed: int, out: Path, key: Path) -> None:
    """Write the picture and the key, a table of the panels from 1 on."""
    pictures = [panel.pictures(str(number), seed + number) for number, panel in enumerate(chosen, start=1)]
    rows = [list(chain(*pictures[start : start + _PER_ROW])) for start in range(0, len(pictures), _PER_ROW)]
    draw_pictures(rows, out)
    with whole_file(key) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(("panel", "kind", "head", "contrast"))
        table.writerows((number, panel.kind, panel.name, panel.contrast) for number, panel in enumerate(chosen, start=1))


def _sampled(count: int, seed: int) -> list[tuple[str, Callable[[], TissueMaps]]]:
    sampler = installed_sampler()
    heads = [sampler.head(SampleOrder(number)).maps for number in range(seed, seed + count)]
    return [(f"seed {seed + number}", partial(_same, maps)) for number, maps in enumerate(heads)]


def _same(maps: TissueMaps) -> TissueMaps:
    return maps


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module. Returns 0, or 2 after an error message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=Path, required=True, help="heads of test people, as for 'physmrisynth evaluate --suite samples'")
    parser.add_argument("--out", type=Path, required=True, help="the picture, a PNG file")
    parser.add_argument("--key", type=Path, required=True, help="the key, a TSV file")
    parser.add_argument("--heads", type=Path, help="a folder of synthetic heads instead of sampling")
    parser.add_argument("--count", type=int, default=PANELS // 2, help="heads to sample (12)")
    parser.add_argument("--seed", type=int, default=0, help="of the order, the effects and the first sampled head (0)")
    options = parser.parse_args(arguments)

    def work() -> None:
        people = heads_in(options.people)
        if options.heads is None:
            heads = _sampled(options.count, options.seed)
        else:
            heads = [(head.name, partial(head.maps, 1000 + number)) for number, head in enumerate(heads_in(options.heads))]
        write_sheet(panels(people, heads, options.seed), options.seed, options.out, options.key)

    return finish(parser, work)


if __name__ == "__main__":
    raise SystemExit(main())
