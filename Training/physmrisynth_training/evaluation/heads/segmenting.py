"""Suite ``segmenting``: Dice on test people of small networks, each of which learned to segment from one group of heads alone.

Images are T1w brains of 2 mm with sampled tissue values, noise and scanner effects. The networks are tested on test people's label maps,
rendered in the same way, and on their own scans where given. A run that was stopped continues.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor, nn

from PhysMRISynthLib.errors import ImageError, PhysMRISynthError
from PhysMRISynthLib.imaging.head.head_volumes import LESION
from PhysMRISynthLib.imaging.head.masks import bounding_box
from PhysMRISynthLib.workflow.rendering.order import RenderOrder
from PhysMRISynthLib.workflow.rendering.rendered import rendered
from PhysMRISynthLib.workflow.sampling.data_set import with_random_effects

from ...learning.checkpoint import load_checkpoint, save_atomically
from ...simulator.anatomy import TISSUES
from ...simulator.labels import tissue_index
from ...simulator.oasis3_folder import TEST_EVERY
from ..anatomies import BRAIN
from ..drawing import Picture, draw_pictures
from ..plan import Plan, progress_bar
from ..results import Findings, Table
from ..segmentation import dice
from .folders import HeadFile, heads_in
from .looks import CONTRASTS
from .tables import LEARNED

CLASSES = ("background", "white matter", "cortex", "deep grey matter", "fluid")
_ROWS = {"white_matter": 1, "cortex": 2, "deep_grey": 3, "thalamus": 3, "csf": 4}
_SHAPE = (80, 96, 80)
"""Voxels (z, y, x; 2 mm) about a brain."""
_CHANNELS, _LEARNING_RATE, _SAVE_EVERY = (16, 32, 64, 128), 2e-3, 20
_STEPS = 300
_MOST_HEADS = 24
"""Of a group, spread over it: all networks learn from as many heads and steps."""
RENDERED, SCANNED = "test people rendered", "test people's own scans"
_NOTES = (
    "A U-Net of MONAI's with {channels} channels learned {steps} steps of one brain from {heads} heads of each group: T1w of 2 mm, "
    "skull-stripped, with tissue values, noise and scanner effects of its own for each head, mirrored at random. "
    "Dice, mean (least), on test people: their label maps rendered in the same way, and their own scans where given.",
)


@dataclass(frozen=True)
class Brain:
    """A T1w ``image`` (_SHAPE; float32, mean 0 and SD 1 in the brain) with the ``classes`` of its voxels (uint8)."""

    name: str
    image: np.ndarray
    classes: np.ndarray


def rendered_brain(head: HeadFile, seed: int) -> Brain:
    """A head's brain with tissue values, texture, noise and scanner effects of its own."""
    tissue = head.tissue()
    image = rendered(head.maps(seed), with_random_effects(RenderOrder(CONTRASTS["T1w"], seed=seed), 0)).voxels
    return _brain(head.name, np.where(np.isin(tissue, BRAIN), image, 0.0), tissue)


def scanned_brain(scan: Path) -> Brain:
    """A skull-stripped scan ``NAME_t1w.nii.gz`` beside ``NAME_labels.nii.gz``, FreeSurfer-style. Raises ImageError when one cannot be
    read."""
    try:
        image, labels = (
            sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS"))
            for path in (scan, scan.with_name(scan.name.replace("_t1w", "_labels")))
        )
    except RuntimeError as error:
        raise ImageError(f"The scan {scan} or its label map cannot be read: {error}") from None
    return _brain(scan.name.removesuffix("_t1w.nii.gz"), image.astype(np.float32), tissue_index(labels.astype(np.int32)))


def _brain(name: str, image: np.ndarray, tissue: np.ndarray) -> Brain:
    """Averaged over 2 x 2 x 2 voxels and cut to _SHAPE about the brain; a voxel's class is the most frequent one."""
    classes = _class_of()[tissue]
    box = bounding_box(np.isin(classes, (1, 2, 3)))
    if box is None:
        raise ImageError(f"The head {name} shows no brain.")
    middles = [(side.start + side.stop) // 2 for side in box]
    middles[0] = box[0].stop - _SHAPE[0] + 8  # from the top: stem and spine may go on below
    places = [middle - n + np.arange(2 * n) for middle, n in zip(middles, _SHAPE, strict=True)]
    seen = np.ix_(*(place.clip(0, n - 1) for place, n in zip(places, tissue.shape, strict=True)))
    cut, rows = image[seen], classes[seen]
    halved = _blocks(cut).mean(axis=(1, 3, 5))
    votes = np.stack([_blocks(rows == row).sum(axis=(1, 3, 5)) for row in range(len(CLASSES))])
    inside = halved > 0
    level, spread = (float(f(halved[inside])) for f in (np.mean, np.std))
    return Brain(
        name, np.where(inside, (halved - level) / max(spread, 1e-6), -3.0).astype(np.float32), votes.argmax(axis=0).astype(np.uint8)
    )


def _blocks(values: np.ndarray) -> np.ndarray:
    z, y, x = (n // 2 for n in values.shape)
    return values.reshape(z, 2, y, 2, x, 2)


def _class_of() -> np.ndarray:
    lookup = np.zeros(256, dtype=np.uint8)
    for name, number in _ROWS.items():
        lookup[TISSUES.index(name)] = number
    lookup[LESION] = _ROWS["white_matter"]
    return lookup


def network() -> nn.Module:
    """A U-Net from images (N, 1, z, y, x) to scores of CLASSES (N, classes, z, y, x)."""
    from monai.networks.nets.unet import UNet

    strides = (2,) * (len(_CHANNELS) - 1)
    return UNet(3, 1, len(CLASSES), _CHANNELS, strides, num_res_units=1)


def train(brains: Sequence[Brain], path: Path, steps: int, progress: Any, seed: int = 0) -> nn.Module:
    """Train until so many ``steps``; goes on from the checkpoint ``path``."""
    from monai.losses.dice import DiceCELoss

    torch.manual_seed(seed)
    model, done = network(), 0
    optimiser = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE)
    if path.is_file():
        state = load_checkpoint(path)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        done = int(state["step"])
    loss = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False)
    for step, (image, classes) in enumerate(_batches(brains, seed, done, steps), start=done + 1):
        optimiser.zero_grad()
        loss(model(image), classes).backward()
        optimiser.step()
        if step == steps or step % _SAVE_EVERY == 0:
            save_atomically({"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step}, path)
        progress()
    return model.eval()


def _batches(brains: Sequence[Brain], seed: int, done: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """One brain at a time, mirrored at random, with random contrast; step n is the same in every run."""
    for step in range(done, steps):
        rng = np.random.default_rng([seed, step])
        brain = brains[int(rng.integers(len(brains)))]
        flip = slice(None, None, -1 if rng.random() < 0.5 else 1)
        image = brain.image[..., flip] * rng.uniform(0.8, 1.25) + rng.normal(0.0, 0.1, brain.image.shape)
        yield (
            torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None, None],
            torch.from_numpy(np.ascontiguousarray(brain.classes[..., flip]).astype(np.int64))[None, None],
        )


@torch.inference_mode()
def scores(model: nn.Module, brains: Sequence[Brain]) -> list[dict[str, float | str]]:
    """Dice of each class, but the background, for each brain."""
    found = []
    for brain in brains:
        guess = model(torch.from_numpy(brain.image)[None, None]).argmax(dim=1)[0].numpy()
        found.append({"head": brain.name} | {name: dice(brain.classes == row, guess == row) for row, name in enumerate(CLASSES) if row})
    return found


def check(plan: Plan) -> None:
    """Raise PhysMRISynthError without test people, or groups to learn from."""
    if plan.people is None or not _groups(plan):
        raise PhysMRISynthError("The suite 'segmenting' needs test people (--people), and heads to learn from (--learned, --groups).")
    _tests(plan)


def _groups(plan: Plan) -> dict[str, list[HeadFile]]:
    named = ({LEARNED: plan.learned} if plan.learned is not None else {}) | dict(plan.groups)
    return {name: heads_in(folder) for name, folder in named.items()}


def _tests(plan: Plan) -> tuple[list[HeadFile], list[Path]]:
    assert plan.people is not None
    scans = [] if plan.scans is None else sorted(plan.scans.glob("*_t1w.nii.gz"))
    return heads_in(plan.people), [scan for scan in scans if int(scan.name.split("_")[1]) % TEST_EVERY == 0]


def measure(plan: Plan) -> Findings:
    """A network for each group, tested on the same people."""
    groups, (people, scans) = _groups(plan), _tests(plan)
    number = min(_MOST_HEADS, *map(len, groups.values()))
    tests = {RENDERED: [rendered_brain(person, 10_000 + place) for place, person in enumerate(people)]}
    tests |= {SCANNED: [scanned_brain(scan) for scan in scans]} if scans else {}
    records: list[dict[str, Any]] = []
    with progress_bar(_STEPS * len(groups), "segmenting") as bar:
        for kind, heads in groups.items():
            chosen = [heads[place] for place in np.linspace(0, len(heads) - 1, number).astype(int)]
            brains = [rendered_brain(head, place) for place, head in enumerate(chosen)]
            digest = sha256("".join(head.sha256 for head in chosen).encode()).hexdigest()[:20]
            model = train(brains, (plan.cache or Path()) / f"segmenting-{digest}.pt", _STEPS, bar.update)
            records += [{"learned from": kind, "tested on": of, **score} for of, those in tests.items() for score in scores(model, those)]
    note = _NOTES[0].format(channels="-".join(map(str, _CHANNELS)), steps=_STEPS, heads=number)
    return Findings(records, [_table(records)], (note,), partial(_draw, tests))


def _table(records: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for kind, of in dict.fromkeys((record["learned from"], record["tested on"]) for record in records):
        those = [record for record in records if (record["learned from"], record["tested on"]) == (kind, of)]
        cells = (f"{np.mean([r[name] for r in those]):.3f} ({min(r[name] for r in those):.3f})" for name in CLASSES[1:])
        rows.append((kind, of, str(len(those)), *cells))
    return Table("Dice by training heads", ("learned from", "tested on", "number", *CLASSES[1:]), tuple(rows))


def _draw(tests: Mapping[str, Sequence[Brain]], path: Path) -> None:
    """The first test images and their classes."""
    middle = _SHAPE[0] // 2
    rows = [
        [picture for brain in those[:4] for picture in (
            Picture(f"{of}\n{brain.name}", brain.image[middle], -3.0, 3.0), Picture("", brain.classes[middle], 0.0, 4.0, "viridis"),
        )]
        for of, those in tests.items()
    ]  # fmt: skip
    draw_pictures(rows, path)
