"""From tissue maps: ``physmrisynth render``, ``export`` and ``simulate``."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from ..errors import ImageError, ProtocolError
from ..headers.roles import ROLES
from ..workflow.rendering.order import RenderOrder
from ..workflow.rendering.scanner_effects import ScannerEffects
from ..workflow.results.export_order import ExportOrder
from .arguments import natural
from .harmonise import add_cohort_options, render_data_set
from .orders import add_field, order_from
from .progress import progress_bar

_RINGING = 30.0
"""Per cent of k-space that ``--ringing`` leaves out if it has no value."""


def add_render(parser: argparse.ArgumentParser) -> None:
    """The options of ``render``, which sets ``command`` to what runs it."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--maps", type=Path, help="folder with PD, T1 and T2")
    source.add_argument("--bids", type=Path, metavar="DERIVATIVES", help="the maps of every visit; complete visits in --out are kept")
    parser.add_argument(
        "--protocol", metavar="SPEC", help="preset or sequence,TR=…,TE=… (ms, degrees); presets that null tissues are solved for these maps"
    )
    parser.add_argument("--null", type=tissue_names, default=(), metavar="TISSUE[,TISSUE]", help="solve the inversion times to null these")
    add_presets_option(parser)
    add_field(parser, RenderOrder, "snr", help="add noise: mean signal of the head over noise SD")
    add_field(parser, RenderOrder, "seed", help="makes noise and scanner effects repeatable")
    add_field(parser, RenderOrder, "device", help="device to render on (auto: the CPU)")
    parser.add_argument("--out", type=Path, required=True, help="image file (.nii.gz, .nrrd, .mha), or a data set with --bids")
    parser.add_argument("--overwrite", action="store_true")
    add_effects(parser)
    add_cohort_options(parser)
    parser.set_defaults(command=_render)


def add_effects(parser: argparse.ArgumentParser) -> None:
    """What a scanner adds to an ideal image: the fields of ScannerEffects."""
    group = parser.add_argument_group("scanner effects (noise: --snr)")
    add = partial(add_field, group, ScannerEffects)
    add("receive_field", metavar="PERCENT", help="largest deviation of a smooth receive field")
    add("slice_thickness", metavar="MM", help="average over adjacent slices; the image gets their grid")
    add("slice_plane", help="of these slices (axial)")
    add("ringing", nargs="?", const=_RINGING, metavar="PERCENT", help=f"share of k-space that is missing; without a value {_RINGING:g}")
    add("motion", metavar="MM", help="displacement of the head during the scan, root mean square")


def add_presets_option(parser: argparse.ArgumentParser) -> None:
    """``--presets FILE``, which :func:`load_own` takes up."""
    parser.add_argument("--presets", type=Path, metavar="FILE", help="also use the presets and equations in this JSON file")


def load_own(options: argparse.Namespace) -> None:
    """Know the presets of ``options.presets``, where it is given."""
    if options.presets is not None:
        from ..physics.own_presets import use_presets

        use_presets(options.presets)


def tissue_names(text: str) -> tuple[str, ...]:
    """``white_matter,csf`` as names."""
    return tuple(name.strip().lower() for name in text.split(",") if name.strip())


def add_export(parser: argparse.ArgumentParser) -> None:
    """The options of ``export``, which sets ``command`` to what runs it."""
    parser.add_argument("--maps", type=Path, required=True, help="folder with PD, T1 and T2, and their SDs where known")
    parser.add_argument("--out", type=Path, required=True, help="folder for the DICOM files")
    parser.add_argument(
        "--protocol", metavar="SPEC", nargs="+", default=[], help="also export these contrasts, each as a series of MR images"
    )
    add_presets_option(parser)
    parser.add_argument("--regions", type=Path, metavar="LABELS", help="also write a measurement report of these regions")
    parser.add_argument("--names", type=Path, metavar="TSV", help="table with columns index and name (default: the one beside LABELS)")
    add_field(parser, ExportOrder, "snr", help="add noise to the contrasts: mean signal of the head over noise SD")
    add_field(parser, ExportOrder, "seed", help="makes noise and scanner effects repeatable")
    add_effects(parser)
    parser.add_argument("--source", type=Path, metavar="FOLDER", help="DICOM images whose patient and study to use (default: anonymous)")
    parser.add_argument("--overwrite", action="store_true")
    parser.set_defaults(command=_export)


def add_simulate(parser: argparse.ArgumentParser) -> None:
    """The options of ``simulate``, which sets ``command`` to what runs it."""
    parser.add_argument("--maps", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for t1w, t2w and flair with their sidecars")
    for role in ROLES:
        parser.add_argument(f"--{role}-protocol", metavar="SPEC", default={"t1w": "mprage", "t2w": "tse", "flair": "flair,L=150"}[role])
    parser.add_argument("--snr", type=float, default=100.0, help="99th percentile over noise SD (default 100)")
    parser.add_argument("--bias", type=float, default=0.2, help="largest log deviation of the receive field (default 0.2: about ±20 %%)")
    parser.add_argument("--seed", type=natural, default=0)
    parser.add_argument("--overwrite", action="store_true")
    parser.set_defaults(command=_simulate)


def _render(options: argparse.Namespace) -> None:
    from ..imaging.tissue_maps import read_tissue_maps
    from ..workflow.rendering.rendered import rendered
    from ..workflow.results.outputs import check_rendering, write_rendering

    load_own(options)
    if options.bids is not None:
        render_data_set(options)
        return
    if options.participants or options.scheduler or options.jobs > 1:
        raise ProtocolError("--participants, --jobs and --scheduler are for a data set. Give its folder with --bids.")
    order = order_from(options, RenderOrder, effects=order_from(options, ScannerEffects))
    check_rendering(options.maps, options.out, options.overwrite)
    maps = read_tissue_maps(options.maps)
    with progress_bar() as bar:
        bar("render and write", 0.0)
        image = rendered(maps, order)
        write_rendering(image, options.out)
    effects = f" with {order.effects.title}" if order.effects.any else ""
    print(f"{options.out}: {image.protocol.spec}{effects}", *image.protocol.notes, sep="\n")


def _export(options: argparse.Namespace) -> None:
    from ..workflow.results.export import check_export, export_dicom
    from ..workflow.results.map_set import read_map_set
    from ..workflow.results.region_files import measure_file

    load_own(options)
    if options.names is not None and options.regions is None:
        raise ImageError("--names is given without --regions. Give the label file too, or leave the names out.")
    effects = order_from(options, ScannerEffects)
    order = order_from(options, ExportOrder, protocols=tuple(options.protocol), title=str(options.maps.name), effects=effects)
    check_export(options.out, options.overwrite, order.source)
    head = read_map_set(options.maps)
    regions = [] if options.regions is None else measure_file(head, options.regions, options.names)
    with progress_bar() as bar:
        bar("write DICOM", 0.0)
        export = export_dicom(head.maps, options.out, order, options.overwrite, regions)
    for warning in export.warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    print(f"{len(export.files)} files in {options.out}. Not for diagnosis.")


def _simulate(options: argparse.Namespace) -> None:
    from ..imaging.tissue_maps import read_tissue_maps
    from ..physics.presets import protocol_from_spec
    from ..workflow.rendering.simulate import simulate
    from ..workflow.results.outputs import check_free, write_simulation

    protocols = {role: protocol_from_spec(getattr(options, f"{role}_protocol")) for role in ROLES}
    check_free(options.out, options.overwrite)
    maps = read_tissue_maps(options.maps)
    with progress_bar() as bar:
        bar("simulate and write", 0.0)
        images = simulate(maps, protocols, options.snr, options.bias, options.seed)
        write_simulation(maps, images, protocols, options.out, options.overwrite)
    print(f"Simulated {', '.join(images)} in {options.out}.")
