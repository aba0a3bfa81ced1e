"""Tables of the suite ``paper``, and how to read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.physics.tissues import PROPERTIES

from ..distributions import published_medians
from ..frechet import DIMENSIONS
from ..maps import SUBSETS
from ..reconstruction import PAPER_RANGE
from ..results import PROPERTIES_APART, Table
from .contrasts import BRIGHT, COMMON
from .runs import TrainedDiffusion, TrainedRun
from .samples import Samples
from .scores import BRAIN, WHOLE
from .slices import SHAPE, KnownSlices
from .virtual import HEADS_3D, STEPS
from .whole_heads import ALONE, LITERATURE_FIT, NETWORK_FIT, SUBSETS_3D

Record = dict[str, Any]
PUBLISHED = {
    (False, False, False, False): (1542, 25.35, 0.9577, 30.89), (False, True, False, False): (1268, 22.94, 0.9603, 31.67),
    (True, False, False, False): (1367, 24.11, 0.9609, 31.39), (True, True, False, False): (996, 20.25, 0.9632, 32.70),
    (True, True, False, True): (1084, 20.76, 0.9617, 32.40), (True, True, True, False): (1083, 20.85, 0.9613, 32.35),
}  # fmt: skip
"""Rows of the paper's Table 1 by prior, AdaGN, gain regression and modality dropout: MSE, MAE, MS-SSIM, PSNR."""
_METHODS_3D = (ALONE, NETWORK_FIT, LITERATURE_FIT)
_QUANTILES = (5, 25, 50, 75, 95)
_SIGNAL = 0.1


def best_run(records: Sequence[Record], runs: Sequence[TrainedRun]) -> str:
    """The run with the highest mean PSNR over whole slices; one with gain regression only if there is no other, since that knows the
    gains of the very images that it is compared with."""
    fair = [run.name for run in runs if not run.training.gain_regression] or [run.name for run in runs]
    return max(fair, key=lambda name: _mean(_images(records, name, WHOLE), "psnr"))


def ablation(records: Sequence[Record], runs: Sequence[TrainedRun]) -> Table:
    """The paper's Table 1, with its own rows beside ours."""
    rows = []
    for run in runs:
        found = _images(records, run.name, WHOLE)
        each = [f"{_mean([r for r in found if r['image'] == role], 'psnr'):.2f}" for role in ROLES]
        published = PUBLISHED.get(run.switches)
        paper = f"{published[0]} / {published[1]} / {published[2]} / {published[3]}" if published else ""
        rows.append((run.name, *("yes" if on else "" for on in run.switches), *_scores(found), PROPERTIES_APART.join(each), paper))
    columns = (
        "run", "T1 and T2 prior", "AdaGN", "gain regression", "modality dropout", *_SCORE_COLUMNS, f"PSNR of {' / '.join(ROLES)}",
        "paper: MSE / MAE / MS-SSIM / PSNR",
    )  # fmt: skip
    return Table("Reconstructions of whole slices from all inputs, as the paper's Table 1", columns, tuple(rows))


_SCORE_COLUMNS = ("MSE", "MAE", f"MSE at a range of {PAPER_RANGE:.0f}", "MAE", "MS-SSIM", "PSNR")


def _scores(found: Sequence[Record]) -> tuple[str, ...]:
    """Mean scores over images, in the order of the columns."""
    return (
        f"{_mean(found, 'raw_mse'):.0f}", f"{_mean(found, 'raw_mae'):.2f}", f"{_mean(found, 'mse') * PAPER_RANGE**2:.0f}",
        f"{_mean(found, 'mae') * PAPER_RANGE:.2f}", f"{_mean(found, 'ms_ssim'):.4f}", f"{_mean(found, 'psnr'):.2f}",
    )  # fmt: skip


def similarity(records: Sequence[Record], runs: Sequence[TrainedRun]) -> Table:
    """Similarity of all images of every run by inputs, also of images that were not inputs."""
    rows = []
    for names in SUBSETS:
        found = [_images(records, run.name, WHOLE, names) for run in runs]
        cells = [(_mean(r, "raw_mse"), _mean(r, "raw_mae"), _mean(r, "ms_ssim"), _mean(r, "psnr")) for r in found]
        rows.append((" + ".join(names), *(f"{mse:.0f} / {mae:.1f} / {ssim:.3f} / {psnr:.1f}" for mse, mae, ssim, psnr in cells)))
    return Table("MSE / MAE / MS-SSIM / PSNR of all three images by inputs", ("inputs", *(run.name for run in runs)), tuple(rows))


def map_errors(records: Sequence[Record], runs: Sequence[TrainedRun]) -> Table:
    """Errors of every run from every subset of inputs, on all test subjects."""
    rows = [(" + ".join(names), *(_errors(records, run.name, names) for run in runs)) for names in SUBSETS]
    title = "Errors of PD / T1 / T2 of the 2D model, all test subjects (median absolute, % of the truth)"
    return Table(title, ("inputs", *(run.name for run in runs)), tuple(rows))


def beside(records: Sequence[Record], best: str) -> list[Table]:
    """The 2D model and the 3D methods on the same slices."""
    methods = (best, *_METHODS_3D)
    subjects = {r["subject"] for r in records if r["method"] in _METHODS_3D}
    same = [r for r in records if r.get("subject") in subjects]
    titles = {best: f"2D model ({best})"}
    rows = []
    for method in methods:
        whole, brain = (_images(same, method, region) for region in (WHOLE, BRAIN))
        if whole:
            inside = (f"{_mean(brain, 'ms_ssim'):.4f}", f"{_mean(brain, 'psnr'):.2f}")
            rows.append((titles.get(method, method), *_scores(whole), *inside, _errors(same, method, ROLES)))
    columns = ("method", *_SCORE_COLUMNS, "brain: MS-SSIM", "brain: PSNR", "error of PD / T1 / T2 %")
    images = Table(f"Beside the 3D methods, all inputs, {len(subjects)} test subjects", columns, tuple(rows))
    shown = [method for method in methods if any(r["method"] == method for r in same)]
    cells = [(" + ".join(names), *(_errors(same, method, names) for method in shown)) for names in SUBSETS_3D]
    title = f"Errors of PD / T1 / T2 beside the 3D methods, {len(subjects)} test subjects (median absolute, % of the truth)"
    return [images, Table(title, ("inputs", *(titles.get(method, method) for method in shown)), tuple(cells))]


def signal_values(maps: np.ndarray) -> np.ndarray:
    """T1 and T2 (2, M) of the pixels of maps (3, N, y, x) that have signal in the usual T1w contrast."""
    image = COMMON[0].image(maps)
    seen = image > _SIGNAL * np.percentile(image, 99.5, axis=(1, 2), keepdims=True)
    return np.stack([values[seen] for values in maps[1:]])


def distributions(by_method: Mapping[str, np.ndarray]) -> Table:
    """Percentiles of T1 and T2 by method, with the published medians."""
    rows = []
    for method, maps in by_method.items():
        values = signal_values(maps)
        rows.append((method, *(f"{np.percentile(v, q):.0f}" for v in values for q in _QUANTILES)))
    for tissue, medians in published_medians(3.0).items():
        cells = [f"{medians[p]:.0f}" if q == 50 else "" for p in ("T1", "T2") for q in _QUANTILES]
        rows.append((f"published: {tissue.replace('_', ' ')}", *cells))
    columns = ("maps", *(f"{p} at {q} %" for p in ("T1", "T2") for q in _QUANTILES))
    return Table("T1 and T2 (ms) of pixels with signal", columns, tuple(rows))


def bright(samples: Samples) -> Table:
    """Slices with a bright background by contrast."""
    groups = list(samples.bright)
    contrasts = list(samples.bright[groups[0]])
    rows = [
        (f"{c.family} {c.title}", "usual" if c in COMMON else "never trained", *(str(samples.bright[group][c]) for group in groups))
        for c in contrasts
    ]
    total = samples.count * len(contrasts)
    rows.append(("all", "", *(f"{100.0 * sum(samples.bright[group].values()) / total:.1f} %" for group in groups)))
    return Table(f"Bright backgrounds among {samples.count} slices", ("TE-TR-TI (ms)", "protocol", *groups), tuple(rows))


def frechet(samples: Samples) -> Table:
    """Fréchet distances to the test slices."""
    rows = [(group, *(f"{values[c.family]:.3f}" for c in COMMON)) for group, values in samples.distances.items()]
    columns = ("slices", *(f"{c.family} {c.title}" for c in COMMON))
    return Table(f"Fréchet distance to the test slices, {samples.count} slices each", columns, tuple(rows))


def cost(runs: Sequence[TrainedRun], diffusions: Sequence[TrainedDiffusion]) -> Table:
    """Steps and time of each training."""
    rows = [
        (
            run.name, f"{run.parameters / 1e6:.2f}", "×".join(map(str, run.training.crops[0])), str(run.training.batch), str(run.step),
            f"{run.seconds / 60.0:.1f}",
        )
        for run in runs
    ]  # fmt: skip
    for diffusion in diffusions:
        title, parameters = f"latent diffusion, {diffusion.of}", sum(p.numel() for p in diffusion.model.unet.parameters())
        minutes = f"{diffusion.seconds / 60.0:.1f}"
        rows.append((title, f"{parameters / 1e6:.2f}", "latents", str(diffusion.batch), str(diffusion.step), minutes))
    return Table("Training", ("run", "parameters, millions", "crop", "batch", "steps", "minutes"), tuple(rows))


def notes(slices: Sequence[KnownSlices], best: str, samples: Samples | None) -> list[str]:
    """How to read the tables."""
    count = sum(len(those.planes) for those in slices)
    found = [
        f"All scans are simulated: {len(slices)} test subjects that no training saw, protocols by the proportions of OASIS-3 with scanner "
        f"imperfections, {count} axial slices of {SHAPE[0]} × {SHAPE[1]} at 1 mm, chosen by a seed. MSE and MAE are in the files' unit, "
        f"then for images scaled to a range of {PAPER_RANGE:.0f}, which the paper's MSE and PSNR imply. The data range of MS-SSIM and PSNR "
        "is the 99.5th percentile of the acquired image in the brain. Targets have noise. Means over images.",
        "The paper's rows are of other data, 50 epochs and a wider network: for orientation. The marks of its Table 1 were read in the "
        "order of a binary count, which agrees with its text.",
        "Errors of maps are medians over the brain tissue of a subject's slices, then over subjects. PD has the best gain of each "
        f"subject, for all methods, since the paper's PD absorbs the scanner's gain. '{best}' has the highest PSNR of the runs without "
        "gain regression, which takes the gains from the acquired images themselves.",
        f"3D methods estimate whole heads at 1 mm from the same files. '{ALONE}' are the expected maps of the network's tissue "
        "probabilities and the tissues' literature values, rendered with one least-squares gain and the fitted receive field, which the 2D "
        "model does not have.",
    ]
    if samples is None:
        return [*found, "No latent diffusion of the 2D model was trained: its samples are missing."]
    return [
        *found,
        f"Samples by {STEPS} DDIM steps. Fréchet distances are squared, on means over positions of {DIMENSIONS} features of an "
        f"EfficientNet-Lite0 trained on photographs. Reference: the {count} test slices rendered from their true maps by the paper's "
        f"equations, as all groups are. 3D samples are slices of {HEADS_3D} heads, one with its skull. A background is bright where the "
        f"air, outside of the ellipse that touches the slice's sides, has on average more than {BRIGHT:.0%} of the inner half's signal.",
    ]


def _images(records: Sequence[Record], method: str, region: str, names: Sequence[str] = ROLES) -> list[Record]:
    of = (method, region, list(names))
    return [r for r in records if r["kind"] == "images" and (r["method"], r["region"], r["inputs"]) == of]


def _mean(records: Sequence[Record], name: str) -> float:
    return float(np.mean([r[name] for r in records])) if records else float("nan")


def _errors(records: Sequence[Record], method: str, names: Sequence[str]) -> str:
    """PD / T1 / T2: the median over subjects."""
    found = [r["error_percent"] for r in records if r["kind"] == "maps" and r["method"] == method and r["inputs"] == list(names)]
    return PROPERTIES_APART.join(f"{np.median([e[p] for e in found]):.1f}" for p in PROPERTIES) if found else ""
