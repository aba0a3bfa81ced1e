"""``physmrisynth design``: the protocol at which two tissues of a head differ most."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ProtocolError
from .maps import add_presets_option, load_own, tissue_names

if TYPE_CHECKING:
    from ..imaging.tissue_maps import TissueMaps
    from ..physics.contrast import TissuePoint
    from ..physics.design import Contrast, Limits


def add_design(parser: argparse.ArgumentParser) -> None:
    """The options of ``design``, which sets ``command`` to what runs it."""
    parser.add_argument("--maps", type=Path, required=True, help="folder with PD, T1 and T2")
    parser.add_argument(
        "--maximise", required=True, metavar="A/B", help="two tissues or regions, for example lesion/white_matter or cortex/white_matter"
    )
    parser.add_argument("--sequence", required=True, metavar="SPEC", help="sequence, or a preset whose readout is kept: dir, flair, tse …")
    parser.add_argument("--region", action="append", default=[], metavar="NAME=FILE", help="a named mask on the maps' grid")
    limits = parser.add_argument_group("limits")
    limits.add_argument("--max-tr", type=float, metavar="MS", help="longest TR, which limits the scan time")
    limits.add_argument("--min-te", type=float, metavar="MS", help="shortest echo time (10 ms, or the sequence's usual one if shorter)")
    limits.add_argument("--max-te", type=float, metavar="MS")
    limits.add_argument(
        "--dark", action="append", default=[], metavar="TISSUE=PERCENT", help="at most this share of the brighter one's signal"
    )
    limits.add_argument(
        "--min-signal", type=float, default=0.0, metavar="PERCENT", help="least signal of the brighter one, relative to fully relaxed water"
    )
    limits.add_argument("--per-time", action="store_true", help="maximise the contrast at equal scan time (contrast / √TR)")
    add_presets_option(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="save the protocol as a preset (JSON), for --presets")
    parser.add_argument("--overwrite", action="store_true")
    parser.set_defaults(command=_design)


def _design(options: argparse.Namespace) -> None:
    from ..imaging.tissue_maps import read_tissue_maps
    from ..physics.design import Contrast, maximised
    from ..physics.presets import protocol_from_spec
    from ..workflow.rendering.contrast_choice import clinical_protocols, named
    from ..workflow.rendering.head_points import head_points
    from ..workflow.results.outputs import check_free

    load_own(options)
    start = protocol_from_spec(options.sequence)
    if options.out is not None:
        check_free(options.out, options.overwrite)
    maps = read_tissue_maps(options.maps)
    points = {**head_points(maps), **_regions(options.region, maps)}
    names = tissue_names(options.maximise.replace("/", ","))
    if len(names) != 2:
        raise ProtocolError(f"'{options.maximise}' names {len(names)} tissues. Give two, for example --maximise lesion/white_matter.")
    one, other = (named(points, name) for name in names)
    found = maximised(start, one, other, _limits(options, points))
    rows = {"designed": found, **{name: Contrast.of(p, one, other) for name, p in clinical_protocols(points).items()}}
    print(f"{one.title} against {other.title.lower()}, signals in % of fully relaxed water; contrast is the CNR at 1 % noise")
    print(*_table(rows, one, other), sep="\n")
    published = [point.title for point in (one, other) if not point.own]
    if published:
        print(f"Published values stand for: {', '.join(published)}.")
    if options.out is not None:
        _save(found, options, names)


def _limits(options: argparse.Namespace, points: dict[str, TissuePoint]) -> Limits:
    from ..physics.design import Limits
    from ..workflow.rendering.contrast_choice import named

    dark = []
    for text in options.dark:
        name, _, share = text.partition("=")
        try:
            dark.append((named(points, name.strip().lower()), float(share)))
        except ValueError:
            raise ProtocolError(f"'{text}' is not TISSUE=PERCENT, for example --dark csf=5.") from None
    wanted = {"TR": (None, options.max_tr), "TE": (options.min_te, options.max_te)}
    ranges = {name: limit for name, limit in wanted.items() if limit != (None, None)}
    return Limits(ranges, tuple(dark), options.min_signal, options.per_time)


def _regions(texts: list[str], maps: TissueMaps) -> dict[str, TissuePoint]:
    from ..imaging.intake.volumes import read_volume, same_grid
    from ..workflow.rendering.head_points import region_point

    found = {}
    for text in texts:
        name, equals, file = text.partition("=")
        if not equals:
            raise ProtocolError(f"'{text}' is not NAME=FILE, for example --region lesion1=mask.nii.gz.")
        volume = read_volume(Path(file), constant=True)
        if not same_grid(volume.image, maps.grid):
            raise ProtocolError(f"{file} is not on the grid of the maps. Resample the mask to it.")
        found[name.strip().lower()] = region_point(maps, volume.voxels > 0.5, name.strip())
    return found


def _table(rows: dict[str, Contrast], one: TissuePoint, other: TissuePoint) -> list[str]:
    cells: list[tuple[str, ...]] = [("", one.title, other.title, "contrast", "per √s", "protocol")]
    best = sorted(rows.items(), key=lambda row: -row[1].contrast)
    cells += [(name, *(f"{v:.1f}" for v in (*c.signals, c.contrast, c.per_time)), c.protocol.spec) for name, c in best]
    widths = [max(len(row[column]) for row in cells) for column in range(5)]
    return ["  ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in range(1, 5)), row[5]]) for row in cells]


def _save(found: Contrast, options: argparse.Namespace, names: tuple[str, ...]) -> None:
    from ..physics.own_presets import EQUATIONS, name_from, text_of
    from ..physics.presets import Preset
    from ..workflow.results.outputs import whole_folder

    title = f"{found.protocol.sequence.name} {'-'.join(names)}"
    source = f"Designed for the maps in {options.maps.name}: most contrast between {' and '.join(names).replace('_', ' ')}."
    preset = Preset(name_from(title), title, "other", None, found.protocol, source, citable=False, group="own")
    with whole_folder(options.out.parent, overwrite=True) as folder:
        (folder / options.out.name).write_text(text_of([preset], EQUATIONS.values()), encoding="utf-8")
    print(f"Saved as preset '{preset.name}' in {options.out}: use it with --presets {options.out} --protocol {preset.name}")
