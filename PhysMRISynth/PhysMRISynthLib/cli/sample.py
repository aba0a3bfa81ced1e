"""``physmrisynth sample``: tissue maps of synthetic heads."""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path

from ..workflow.sampling.order import SampleOrder
from .orders import add_field, order_from
from .progress import progress_bar


def add_sample(parser: argparse.ArgumentParser) -> None:
    """The options of ``sample``, which sets ``command`` to what runs it."""
    parser.add_argument("--out", type=Path, required=True, help="folder for sample_0001 and so on, each with PD, T1, T2, mask and report")
    add = partial(add_field, parser, SampleOrder)
    add("seed", help="seed of the first head; further heads have the next seeds")
    add("count", help="number of heads")
    add("steps", help="sampling steps; more are slower and finer")
    add("renewal", help="stochasticity of the sampling")
    add("attempts", help="maximum number of attempts until the midline check passes")
    add("attempt", help="number of the first attempt, as stated in a head's report")
    parser.add_argument(
        "--condition", type=_target, nargs="+", default=[], metavar="NAME=VALUE",
        help="targets: brain_volume (ml), ventricle_share (%% of it) and lesion_load (ml); met approximately",
    )  # fmt: skip
    add("field_strength", type=float, metavar="TESLA", help="field strength of T1 and T2 (3)")
    add("device")
    add("precision", help="use that of a head's report to reproduce the head exactly")
    parser.add_argument("--sampler", type=Path, metavar="FILE", help="a .safetensors file in place of the installed sampling model")
    parser.add_argument("--vae", type=Path, metavar="FILE", help="a .safetensors file in place of the network that decodes its latents")
    parser.add_argument("--overwrite", action="store_true")
    parser.set_defaults(command=_sample)


def _target(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE, for example brain_volume=1200") from None


def _sample(options: argparse.Namespace) -> None:
    from ..workflow.results.outputs import REPORT
    from ..workflow.sampling.sample import STAGE, installed_sampler, write_samples

    start = time.perf_counter()
    order = order_from(options, SampleOrder, condition=dict(options.condition))
    with progress_bar() as bar:
        bar("load the network", 0.0)
        sampler = installed_sampler(options.sampler, options.vae)
        folders = write_samples(sampler, order, options.out, options.overwrite, partial(bar, STAGE))
    heads = "1 synthetic head" if len(folders) == 1 else f"{len(folders)} synthetic heads"
    for folder in folders:
        for warning in json.loads((folder / REPORT).read_text(encoding="utf-8"))["warnings"]:
            print(f"Warning: {folder.name}: {warning}", file=sys.stderr)
    print(f"Wrote {heads} to {options.out} in {time.perf_counter() - start:.0f} s.")
