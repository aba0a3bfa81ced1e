"""The commands ``physmrisynth train`` and ``evaluate``, registered by entry points.

Heavy imports happen only when a command runs; each sets ``command`` to its function.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PhysMRISynthLib.cli.arguments import natural, positive
from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.workflow.orders import PRECISIONS

if TYPE_CHECKING:
    from .learning.run_options import Run


def _noise(text: str) -> float:
    number = float(text)
    if not 0 < number <= 50:
        raise argparse.ArgumentTypeError("must be above 0 and at most 50 (%)")
    return number


def _named_folder(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if not name or not folder:
        raise argparse.ArgumentTypeError("must be NAME=DIR")
    return name, Path(folder)


def add_train(parser: argparse.ArgumentParser) -> None:
    """Train a network on label maps or scans."""
    kinds = parser.add_subparsers(required=True, metavar="KIND")
    vae = kinds.add_parser("vae", help="the variational autoencoder of the learned prior")
    vae.add_argument(
        "--data", type=Path, required=True,
        help="label maps (a folder with head_labels and, optionally, ms_lesion_masks), or real scans (BIDS, or a folder for each session)",
    )  # fmt: skip
    vae.add_argument("--scans", type=Path, metavar="DIR", help="real scans to mix with label maps (scan_share of the steps)")
    vae.add_argument("--start-from", type=Path, metavar="FILE", help="start from the weights of a .safetensors file")
    vae.set_defaults(command=_train_vae)
    condenser = kinds.add_parser("condenser", help="the second stage, an autoencoder of latents whose codes the latent diffusion samples")
    condenser.add_argument("--start-from", type=Path, metavar="FILE", help="start from the decoder of an expander.safetensors")
    condenser.set_defaults(command=_train_condenser)
    ldm = kinds.add_parser("ldm", help="the latent diffusion that samples synthetic heads")
    ldm.add_argument("--condenser", type=Path, metavar="FILE", help="checkpoint.pt of 'train condenser', to train on its codes")
    ldm.set_defaults(command=_train_ldm)
    for kind in (condenser, ldm):
        kind.add_argument("--data", type=Path, required=True, help="label maps, or real scans, as for vae")
        kind.add_argument("--vae", type=Path, required=True, metavar="FILE", help="the trained autoencoder (.safetensors)")
        kind.add_argument("--latents", type=Path, metavar="DIR", help="folder of latents shared by trainings (default: latents in --out)")
        kind.add_argument("--people", type=Path, metavar="DIR", help="heads of 'people-in-heads' to learn from beside head_labels")
    _add_people(kinds.add_parser("people-in-heads", help="people's brains in the skulls of whole heads, to learn from (--people)"))
    _add_simulation(kinds.add_parser("simulate-oasis3", help="simulated scans in the layout of OASIS-3, for trials without that data set"))
    for kind in (vae, condenser, ldm):
        kind.add_argument("--config", default="head_3d", help="a shipped configuration's name, or a JSON file")
        kind.add_argument("--out", type=Path, required=True, help="folder for the checkpoint and the log")
        kind.add_argument("--resume", action="store_true", help="continue from the checkpoint in --out")
        kind.add_argument("--minutes", type=float, help="stop after this many minutes (default: no limit)")
        kind.add_argument("--steps", type=natural, help="stop at this step")
        kind.add_argument("--devices", type=int, default=1, help="GPUs, or CPU processes, on this machine")
        kind.add_argument("--num-nodes", type=int, default=1)
        kind.add_argument("--precision", default="auto", choices=PRECISIONS)


def _add_people(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="a folder with people and head_labels")
    parser.add_argument("--out", type=Path, required=True, help="folder for the heads; those that are complete are left as they are")
    parser.add_argument("--shells", type=positive, default=1, metavar="N", help="heads for each person's brain (1)")
    parser.add_argument("--split", choices=("train", "test"), default="train", help="test: people and heads that no training uses (train)")
    parser.set_defaults(command=_people_in_heads)


def _people_in_heads(options: argparse.Namespace) -> None:
    from .simulator.people_set import write_people_set

    print(f"\n{options.out} has {write_people_set(options.data, options.out, options.shells, _line, options.split)} heads.")


def _add_simulation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="a folder with people and head_labels")
    parser.add_argument("--out", type=Path, required=True, help="folder for the sessions; those that are complete are left as they are")
    parser.add_argument("--split", choices=("train", "test"), default="train", help="test: all contrasts, with the true maps (train)")
    parser.add_argument("--sessions", type=positive, default=2, metavar="N", help="simulated sessions of each subject (2)")
    parser.add_argument("--subjects", nargs="+", default=(), metavar="NAME", help="some subjects alone (person01 head02)")
    parser.add_argument("--seed", type=natural, default=0)
    parser.set_defaults(command=_simulate_oasis3)


_SUITES = (
    "maps, contrasts, retest, distributions, reconstruction, all of these, or volumes, harmonise, inputs, visits, series, measured, "
    "samples, segmenting, paper"
)


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Measure maps and rendered images on simulated heads and real scans."""
    parser.add_argument("--suite", required=True, help=_SUITES)
    parser.add_argument("--data", type=Path, help="folder with head_labels and real (not needed for the example alone)")
    parser.add_argument("--out", type=Path, required=True, help="folder for results.json, results.md and a figure per suite")
    parser.add_argument("--scans", type=Path, metavar="DIR", help="weighted scans for suites measured, segmenting and paper")
    parser.add_argument("--maps", type=Path, metavar="DIR", help="measured maps of the same people (…_T1map, …_R1map, …_T2map …)")
    parser.add_argument(
        "--register", action=argparse.BooleanOptionalAction, default=None, help="register maps to scans (default: if grids differ)"
    )
    parser.add_argument("--priors", nargs="+", choices=("network", "literature"), help="priors to compare (both)")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="a .safetensors file in place of the installed network")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="device of the network")
    parser.add_argument("--heads", nargs="+", metavar="HEAD", help="numbers of label maps, or example (16 17 example)")
    parser.add_argument(
        "--acquisition", nargs="+", choices=("standard", "standard-off", "oasis3", "oasis3-headers"), default=["standard"],
        help="acquisition of suite maps (standard): oasis3 has that data set's protocols and scanner imperfections",
    )  # fmt: skip
    parser.add_argument("--noise", nargs="+", type=_noise, metavar="PERCENT", help="noise levels of suite maps (0.5 1 2)")
    parser.add_argument("--seeds", type=positive, default=1, metavar="N", help="random seeds per head in suite maps (1)")
    parser.add_argument("--step", type=positive, default=1, metavar="K", help="every K-th voxel of simulated heads along each axis (1)")
    parser.add_argument("--sampler", type=Path, metavar="FILE", help="a .safetensors file in place of the installed sampling model")
    parser.add_argument("--samples", type=natural, default=20, metavar="N", help="number of heads in suite samples (20)")
    parser.add_argument(
        "--people", type=Path, metavar="DIR", help="heads of test people, to compare samples and --groups with (suite samples)"
    )
    parser.add_argument("--learned", type=Path, metavar="DIR", help="heads of the people of the training, beside --people")
    parser.add_argument("--groups", nargs="+", type=_named_folder, default=[], metavar="NAME=DIR", help="folders of heads beside --people")
    parser.add_argument("--reconstructions", type=natural, default=6, metavar="N", help="heads that suite samples reconstructs (6)")
    parser.add_argument("--condenser", type=Path, metavar="FILE", help="checkpoint.pt of its second stage, to compare heads from codes too")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="folder with a folder for each run of the 2D model, for suite paper")
    parser.add_argument("--slices", type=positive, default=4, metavar="N", help="axial slices of each session in suite paper (4)")
    parser.set_defaults(command=_evaluate)


def _simulate_oasis3(options: argparse.Namespace) -> None:
    from .simulator.oasis3_folder import write_oasis3

    count = write_oasis3(options.data, options.out, options.split, options.sessions, options.seed, options.subjects, _line)
    print(f"\n{options.out} has {count} sessions.")


def _train_vae(options: argparse.Namespace) -> None:
    with _training(options) as (run, first):
        from PhysMRISynthLib.network.config import read_configuration

        from .learning.train_vae import train_vae

        checkpoint = train_vae(read_configuration(options.config), run, _line if first else _silence)
    if first:
        print(f"\nThe checkpoint is {checkpoint}.")


def _train_ldm(options: argparse.Namespace) -> None:
    with _training(options) as (run, first):
        from PhysMRISynthLib.network.config import SAMPLER_CONFIGURATIONS, read_configuration

        from .learning.train_ldm import train_ldm

        configuration = read_configuration(options.config, SAMPLER_CONFIGURATIONS)
        checkpoint = train_ldm(configuration, run, options.vae, _line if first else _silence, options.condenser)
    if first:
        _print_checkpoint(checkpoint)


def _train_condenser(options: argparse.Namespace) -> None:
    with _training(options) as (run, first):
        from PhysMRISynthLib.network.config import CONDENSER_CONFIGURATIONS, read_configuration

        from .learning.train_condenser import train_condenser

        configuration = read_configuration(options.config, CONDENSER_CONFIGURATIONS)
        checkpoint = train_condenser(configuration, run, options.vae, _line if first else _silence)
    if first:
        _print_checkpoint(checkpoint)


def _print_checkpoint(checkpoint: Path | None) -> None:
    print("\nNot all latents are computed yet: run the command again." if checkpoint is None else f"\nThe checkpoint is {checkpoint}.")


@contextmanager
def _training(options: argparse.Namespace) -> Iterator[tuple[Run, bool]]:
    """The run's options, and whether this is the first of several processes, the only one that prints."""
    try:
        from lightning_fabric.utilities.rank_zero import rank_zero_only

        from .learning.run_options import Run

        first = getattr(rank_zero_only, "rank", 0) == 0
        if not first:  # every process reads the same data: one of them warns
            logging.getLogger(__package__.partition(".")[0]).setLevel(logging.ERROR)
        chosen = {name: getattr(options, name) for name in ("start_from", "scans", "latents", "people") if hasattr(options, name)}
        yield (
            Run(
                options.data, options.out, options.resume, minutes=options.minutes, steps=options.steps, devices=options.devices,
                num_nodes=options.num_nodes, precision=options.precision, **chosen,
            ),
            first,
        )  # fmt: skip
    except ImportError as error:
        raise PhysMRISynthError(f"Training needs {error.name}. Install physmrisynth[training].") from None


def _silence(text: str) -> None:
    """Processes other than the first print nothing."""


def _evaluate(options: argparse.Namespace) -> None:
    from PhysMRISynthLib.workflow.sampling.sample import installed_sampler

    from .evaluation.plan import HEADS, NOISE_PERCENT, PRIORS, Plan, estimators_for
    from .evaluation.suites import evaluate, suites_named

    suites = suites_named(options.suite)
    estimators, sha256, missing = estimators_for(options.priors or PRIORS, options.weights, options.device)
    for note in missing:
        print(note, file=sys.stderr)
    heads, noise = (tuple(dict.fromkeys(values)) for values in (options.heads or HEADS, options.noise or NOISE_PERCENT))
    sampler = partial(installed_sampler, options.sampler, options.weights)
    plan = Plan(
        estimators, options.data, heads, noise, options.seeds, options.step, sha256, notes=tuple(missing), sampler=sampler,
        samples=options.samples, condenser=options.condenser, acquisitions=tuple(dict.fromkeys(options.acquisition)), scans=options.scans,
        maps=options.maps, register=options.register, runs=options.runs, slices=options.slices, people=options.people,
        learned=options.learned, groups=dict(options.groups), reconstructions=options.reconstructions, cache=options.out / "measured",
    )  # fmt: skip
    evaluate(plan, suites, options.out)
    print(f"results.json, results.md and figures are in {options.out}.")


def _line(text: str) -> None:
    """Overwrite the terminal's line; in a file, append lines."""
    print(f"\r\033[K{text}" if sys.stderr.isatty() else text, end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)
