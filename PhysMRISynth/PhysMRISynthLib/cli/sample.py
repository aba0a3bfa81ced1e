"""``physmrisynth sample``: tissue maps of synthetic heads."""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path

from ..errors import ProtocolError
from ..workflow.sampling.order import SampleOrder
from .harmonise import add_jobs, run_batch
from .orders import add_field, order_from
from .progress import progress_bar


def add_sample(parser: argparse.ArgumentParser) -> None:
    """The options of ``sample``, which sets ``command`` to what runs it."""
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--out", type=Path, help="folder for sample_0001 and so on, each with PD, T1, T2, mask, labels and report")
    place.add_argument("--list-conditions", action="store_true", help="list the conditions of the sampling model, with their ranges")
    place.add_argument("--bids", type=Path, metavar="OUT", help="a data set of images and labels; complete heads are kept")
    add = partial(add_field, parser, SampleOrder)
    add("seed", help="seed of the first head; further heads have the next seeds")
    add("count", help="number of heads")
    add("steps", help="sampling steps; more are slower and finer")
    add("renewal", help="stochasticity of the sampling")
    add("attempts", help="maximum number of attempts until the midline check passes")
    add("attempt", help="number of the first attempt, as stated in a head's report")
    parser.add_argument(
        "--condition", type=_target, nargs="+", default=[], metavar="NAME=VALUE",
        help="targets: brain_volume, lesion_load, intracranial_volume (ml), ventricle_share, atrophy (%%), age (years), sex (0 female, "
        "1 male), those that the model knows, within its training heads' range (--list-conditions); met approximately",
    )  # fmt: skip
    add("guidance", help="above 1 the targets are followed more strictly, in twice the time")
    add("field_strength", type=float, metavar="TESLA", help="field strength of T1 and T2 (3)")
    parser.add_argument("--skull-stripped", action="store_true", help="keep the brain with its fluid alone")
    add("device")
    add("precision", help="use that of a head's report to reproduce the head exactly")
    parser.add_argument("--sampler", type=Path, metavar="FILE", help="a .safetensors file in place of the installed sampling model")
    parser.add_argument("--vae", type=Path, metavar="FILE", help="a .safetensors file in place of the network that decodes its latents")
    parser.add_argument("--overwrite", action="store_true")
    images = parser.add_argument_group("a data set (--bids)")
    images.add_argument("--protocols", metavar="SPEC[,SPEC]", help="the contrasts: presets; or several sequence,TR=… with ; between them")
    images.add_argument("--noise", action="store_true", help="add noise and random scanner effects, different for each image")
    add_jobs(images, "heads")
    parser.set_defaults(command=_sample)


def _target(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE, for example brain_volume=1200") from None


def _sample(options: argparse.Namespace) -> None:
    if options.list_conditions:
        _list_conditions(options.sampler)
        return
    from ..workflow.results.outputs import REPORT
    from ..workflow.sampling.sample import STAGE, installed_sampler, write_samples

    if options.bids is not None:
        _sample_data_set(options)
        return
    if options.protocols or options.noise or options.scheduler or options.jobs > 1:
        raise ProtocolError("--protocols, --noise, --jobs and --scheduler are for a data set. Give its folder with --bids.")
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


def _list_conditions(sampler: Path | None) -> None:
    from ..network.known_conditions import known_conditions

    found = known_conditions(sampler)
    for name, condition in found.items():
        between = f"{condition.least:.4g} to {condition.greatest:.4g} {condition.unit}"
        print(f"{name:<20} {between:<20} {condition.title}")
    if not found:
        print("The sampling model knows no conditions.")


def _sample_data_set(options: argparse.Namespace) -> None:
    from ..workflow.sampling.data_set import DataSetOrder, write_data_set

    if options.sampler is not None or options.vae is not None:
        raise ProtocolError("A data set is sampled with the installed model. Leave --sampler and --vae out.")
    if not options.protocols:
        raise ProtocolError("A data set needs its contrasts. Give them with --protocols, for example oasis3-t1w,oasis3-flair.")
    heads = order_from(options, SampleOrder, condition=dict(options.condition))
    order = DataSetOrder(heads, _specs(options.protocols), options.noise)
    run_batch(options, options.bids, lambda batch: write_data_set(order, options.bids, batch), "heads")


def _specs(text: str) -> tuple[str, ...]:
    """``oasis3-t1w,oasis3-flair`` or ``se,TR=500,TE=15;flair,TR=9000`` as protocols."""
    parts = text.split(";") if ";" in text or "=" in text else text.split(",")
    return tuple(part.strip() for part in parts if part.strip())
