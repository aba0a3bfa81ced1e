"""The command line: ``physmrisynth estimate | render | sample | simulate | export | presets | info | demo | train | evaluate``."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .errors import PhysMRISynthError, ProtocolError
from .imaging.roles import ROLES
from .training.commands import PRECISIONS, add_evaluate, add_train, natural, positive

if TYPE_CHECKING:
    from .imaging.acquisition import Acquisition
    from .workflow.estimate import Estimate

_EXIT_BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0 on success and 2 after bad input, with a one-line cause and remedy on standard error."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = options.command
    try:
        command(options)
    except PhysMRISynthError as error:
        print(f"physmrisynth: {error}", file=sys.stderr)
        return _EXIT_BAD_INPUT
    except (OSError, MemoryError) as error:
        print(f"physmrisynth: {error or 'not enough memory'}. Check files, permissions, free space and memory.", file=sys.stderr)
        return _EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("physmrisynth: stopped.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="physmrisynth", description="Tissue maps (PD, T1, T2) from T1w, T2w and FLAIR, and any contrast from tissue maps."
    )
    parser.add_argument("--version", action="version", version=f"physmrisynth {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    estimate = commands.add_parser("estimate", help="tissue maps from a patient's images")
    _add_estimate_options(estimate)
    estimate.add_argument("--out", type=Path, required=True, help="folder for the maps")
    estimate.add_argument("--spacing", type=float, metavar="MM", help="maps at isotropic voxels over the reference's extent")
    estimate.set_defaults(command=_estimate)
    _add_render(commands.add_parser("render", help="the image of any protocol from tissue maps"))
    _add_export(commands.add_parser("export", help="tissue maps and rendered contrasts as DICOM"))
    _add_sample(commands.add_parser("sample", help="tissue maps of heads that do not exist"))
    _add_simulate(commands.add_parser("simulate", help="T1w, T2w and FLAIR of known maps, with noise, gains and receive fields"))
    commands.add_parser("presets", help="list the protocols known by name").set_defaults(command=_presets)
    commands.add_parser("info", help="versions, sequences with their parameters, and what this installation can do").set_defaults(
        command=_info
    )
    add_train(commands.add_parser("train", help="train a network on label maps"))
    add_evaluate(commands.add_parser("evaluate", help="measure maps and rendered images on simulated heads and real scans"))
    demo = commands.add_parser("demo", help="the whole path on an embedded example, or on your files")
    _add_estimate_options(demo)
    demo.add_argument("--out", type=Path, default=Path("physmrisynth-demo"))
    demo.set_defaults(command=_demo)
    return parser


def _add_estimate_options(parser: argparse.ArgumentParser) -> None:
    for role in ROLES:
        parser.add_argument(f"--{role}", type=Path, metavar="FILE")
        parser.add_argument(
            f"--{role}-protocol", metavar="SPEC", help="preset or sequence,TR=…,TE=… (ms, degrees); else the JSON sidecar, else a default"
        )
    parser.add_argument("--field-strength", type=float, metavar="TESLA", help="else from the sidecars, else 3")
    parser.add_argument("--reference", choices=ROLES, help="whose grid the maps get (T1w, else T2w, else FLAIR)")
    parser.add_argument(
        "--register",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="register the inputs (when omitted: only where grids differ)",
    )
    parser.add_argument("--prior", choices=("auto", "network", "literature"), default="auto")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--overwrite", action="store_true")


def _add_render(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--maps", type=Path, required=True, help="folder with PD, T1 and T2")
    parser.add_argument("--protocol", required=True, metavar="SPEC")
    parser.add_argument("--snr", type=float, help="add noise at this ratio to the mean signal of the head")
    parser.add_argument("--seed", type=natural, default=0)
    parser.add_argument("--out", type=Path, required=True, help="image file (.nii.gz, .nrrd, .mha)")
    parser.add_argument("--overwrite", action="store_true")
    parser.set_defaults(command=_render)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--maps", type=Path, required=True, help="folder with PD, T1 and T2, and their SDs where known")
    parser.add_argument("--out", type=Path, required=True, help="folder for the DICOM files")
    parser.add_argument("--protocol", metavar="SPEC", nargs="+", default=[], help="also these contrasts, each as a series of MR images")
    parser.add_argument("--source", type=Path, metavar="FOLDER", help="DICOM images whose patient and study these are (else anonymous)")
    parser.add_argument("--overwrite", action="store_true")
    parser.set_defaults(command=_export)


def _add_sample(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder for sample_0001 and so on, each with PD, T1, T2, mask and report")
    parser.add_argument("--seed", type=natural, default=0, help="decides the head; the next head has the next seed (0)")
    parser.add_argument("--count", type=positive, default=1, help="how many heads (1)")
    parser.add_argument("--steps", type=positive, default=30, help="more are slower and finer (30)")
    parser.add_argument(
        "--condition", type=_wish, nargs="+", default=[], metavar="NAME=VALUE",
        help="brain_volume (ml), ventricle_share (%% of it) and lesion_load (ml), as far as the head shall have them",
    )  # fmt: skip
    parser.add_argument("--field-strength", type=float, metavar="TESLA", default=3.0, help="whose T1 and T2 (3)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS, help="what a head's report names draws it again exactly")
    parser.add_argument("--sampler", type=Path, metavar="FILE", help="a .safetensors file in place of the installed sampling model")
    parser.add_argument("--vae", type=Path, metavar="FILE", help="and of the network that decodes what it draws")
    parser.add_argument("--overwrite", action="store_true")
    parser.set_defaults(command=_sample)


def _wish(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE, for example brain_volume=1200") from None


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--maps", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for t1w, t2w and flair with their sidecars")
    for role in ROLES:
        parser.add_argument(f"--{role}-protocol", metavar="SPEC", default={"t1w": "mprage", "t2w": "tse", "flair": "flair,L=150"}[role])
    parser.add_argument("--snr", type=float, default=100.0, help="99th percentile over noise SD (default 100)")
    parser.add_argument("--bias", type=float, default=0.2, help="receive field's greatest log deviation (default 0.2: about ±20 %%)")
    parser.add_argument("--seed", type=natural, default=0)
    parser.add_argument("--overwrite", action="store_true")
    parser.set_defaults(command=_simulate)


class _Bar:
    """One progress bar a stage, on a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage = ""

    def __call__(self, stage: str, fraction: float) -> None:
        from tqdm import tqdm

        if stage != self._stage:
            self.close()
            self._stage = stage
            self._bar = tqdm(total=100, desc=stage, leave=False, disable=None, bar_format="{desc}: {bar} {n:.0f} % [{elapsed}]")
        self._bar.update(100 * fraction - self._bar.n)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.close()


@contextmanager
def _bar() -> Iterator[_Bar]:
    bar = _Bar()
    try:
        yield bar
    finally:
        bar.close()


def _estimate(options: argparse.Namespace) -> None:
    from .workflow.inputs import read_acquisitions
    from .workflow.outputs import check_free, write_estimate

    check_free(options.out, options.overwrite)
    start = time.perf_counter()
    files = {role: getattr(options, role) for role in ROLES}
    with _bar() as bar:
        bar("read the images", 0.0)
        acquisitions = read_acquisitions(files, {role: getattr(options, f"{role}_protocol") for role in ROLES})
    estimate = _run(acquisitions, options)
    with _bar() as bar:
        bar("write the maps", 0.0)
        write_estimate(estimate, acquisitions, options.field_strength, options.out, options.overwrite)
    print(f"Tissue maps in {options.out} after {time.perf_counter() - start:.0f} s.")


def _run(acquisitions: Sequence[Acquisition], options: argparse.Namespace) -> Estimate:
    """Estimate with a progress bar, then say what the user must know."""
    from .workflow.estimate import estimate_tissue_maps
    from .workflow.inputs import field_strength_of
    from .workflow.medians import FROM_LITERATURE, UNITS

    strength, source = field_strength_of(acquisitions, options.field_strength)
    options.field_strength = strength
    print(f"field strength: {strength:g} T ({source})", file=sys.stderr if source.startswith("assumed") else sys.stdout)
    for a in acquisitions:
        print(f"{a.name}: {a.protocol.spec} (from {', '.join(sorted(set(a.protocol.sources.values())))})")
    with _bar() as bar:
        estimate = estimate_tissue_maps(
            acquisitions, options.reference, options.register, options.field_strength, bar, options.prior, options.device,
            spacing_mm=getattr(options, "spacing", None),
        )  # fmt: skip
    for warning in estimate.warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    for tissue, m in estimate.medians.items():
        values = (f"{p} {m[p]:6.1f} ± {m[f'{p}_sd']:5.1f} {unit}" for p, unit in UNITS.items() if p not in FROM_LITERATURE.get(tissue, ()))
        print(f"{tissue:<13} {'   '.join(values)}")
    for name, check in estimate.checks.items():
        print(f"fit of {name}: residual {check.rms_percent:.1f} % of its bright tissue")
    return estimate


def _render(options: argparse.Namespace) -> None:
    from .imaging.tissue_maps import read_tissue_maps
    from .imaging.volumes import write_image
    from .physics.presets import protocol_from_spec
    from .workflow.outputs import check_free
    from .workflow.render import render

    protocol = protocol_from_spec(options.protocol)
    check_free(options.out, options.overwrite)
    maps = read_tissue_maps(options.maps)
    with _bar() as bar:
        bar("render and write", 0.0)
        image = render(maps, protocol, options.snr, options.seed, scale=1.0 if not protocol.sequence.uses_pd else 1000.0)
        write_image(maps.image(image), options.out)
    print(f"{options.out}: {protocol.spec}")


def _export(options: argparse.Namespace) -> None:
    from .imaging.tissue_maps import read_tissue_maps
    from .physics.presets import protocol_from_spec
    from .workflow.export import check_export, export_dicom, with_deviations

    protocols = [protocol_from_spec(spec) for spec in options.protocol]
    check_export(options.out, options.overwrite, options.source)
    maps = with_deviations(read_tissue_maps(options.maps), options.maps)
    with _bar() as bar:
        bar("write DICOM", 0.0)
        names = export_dicom(maps, options.out, protocols, options.source, options.overwrite, str(options.maps.name))
    print(f"{len(names)} files in {options.out}. Not for diagnosis.")


def _simulate(options: argparse.Namespace) -> None:
    from .imaging.tissue_maps import read_tissue_maps
    from .physics.presets import protocol_from_spec
    from .workflow.outputs import check_free, write_simulation
    from .workflow.simulate import simulate

    protocols = {role: protocol_from_spec(getattr(options, f"{role}_protocol")) for role in ROLES}
    check_free(options.out, options.overwrite)
    maps = read_tissue_maps(options.maps)
    with _bar() as bar:
        bar("simulate and write", 0.0)
        images = simulate(maps, protocols, options.snr, options.bias, options.seed)
        write_simulation(maps, images, protocols, options.out, options.overwrite)
    print(f"Simulated {', '.join(images)} in {options.out}.")


def _sample(options: argparse.Namespace) -> None:
    from .workflow.sample import STAGE, Order, installed_sampler, write_samples

    start = time.perf_counter()
    order = Order(options.seed, options.steps, dict(options.condition), options.field_strength, options.device, options.precision)
    with _bar() as bar:
        bar("load the network", 0.0)
        sampler = installed_sampler(options.sampler, options.vae)
        folders = write_samples(sampler, order, options.count, options.out, options.overwrite, partial(bar, STAGE))
    heads = "One head" if len(folders) == 1 else f"{len(folders)} heads"
    print(f"{heads} that did not exist before in {options.out} after {time.perf_counter() - start:.0f} s.")


def _presets(options: argparse.Namespace) -> None:
    from .physics.presets import load_presets

    for preset in load_presets().values():
        citable = "" if preset.citable else " (typical values, not citable)"
        print(f"{preset.name:<16} {preset.field_strength:g} T  {preset.protocol.spec}{citable}\n{'':<16} {preset.source}")
        for note in preset.protocol.notes:
            print(f"{'':<16} Note: {note}")


def _info(options: argparse.Namespace) -> None:
    import platform

    from .physics.sequences import SEQUENCES

    print(
        f"physmrisynth {__version__} on Python {platform.python_version()}, {platform.system()}",
        _priors(),
        sep="\n",
    )
    for sequence in SEQUENCES.values():
        ranges = ", ".join(f"{p.name} {p.minimum:g}–{p.maximum:g}{' ' + p.unit if p.unit else ''}" for p in sequence.parameters)
        print(f"{sequence.name:<14} {sequence.title}: {ranges}")


def _priors() -> str:
    """Which priors this installation has, and why one is missing."""
    from .workflow.network_prior import usable_weights

    try:
        weights = usable_weights("network")
    except PhysMRISynthError as error:
        return f"Priors: literature. {error}"
    assert weights is not None
    return f"Priors: network (SHA-256 {weights.sha256[:12]}), literature"


def _demo(options: argparse.Namespace) -> None:
    from .workflow.demo import example_acquisitions, write_demo
    from .workflow.inputs import read_acquisitions
    from .workflow.outputs import check_free

    check_free(options.out, options.overwrite)
    own = {role: getattr(options, role) for role in ROLES}
    truth = None
    if any(own.values()):
        acquisitions = read_acquisitions(own, {role: getattr(options, f"{role}_protocol") for role in ROLES})
    else:
        if any(getattr(options, f"{role}_protocol") for role in ROLES):
            raise ProtocolError("The example has protocols of its own. Give --t1w, --t2w or --flair with their protocols.")
        print("Simulating the embedded example: a head of known PD, T1 and T2 …")
        with _bar() as bar:
            bar("simulate the example", 0.0)
            truth, acquisitions = example_acquisitions()
    estimate = _run(acquisitions, options)
    with _bar() as bar:
        bar("render the contrasts and write all", 0.0)
        lines = write_demo(estimate, acquisitions, truth, options.field_strength, options.out, options.overwrite)
    print(*lines, sep="\n")


if __name__ == "__main__":
    sys.exit(main())
