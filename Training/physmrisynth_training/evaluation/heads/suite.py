"""Suite ``samples`` with groups of heads in folders: are synthetic heads like those of test people, and of no training person?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.network.device import choose_device, fastest_precision
from PhysMRISynthLib.network.inference import decode
from PhysMRISynthLib.network.weights import Weights
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from PhysMRISynthLib.workflow.sampling.sample import SampledFractions, Sampler, sharpened
from PhysMRISynthLib.workflow.tissue_values import literature_values, maps_of

from ...learning.latents import PLACEMENT, good_scan, latent_of
from ...simulator.anatomy import LabelledHead, PlaceHead
from ...simulator.simulated_head import Sample
from ...simulator.simulated_scans import Simulator
from ..anatomies import FIELD_STRENGTH
from ..drawing import Picture, draw_pictures
from ..groups import DEFORMED, SAMPLED, Record
from ..memorisation import nearness
from ..plan import Plan, progress_bar
from ..results import Findings
from .folders import SHAPE, HeadFile, heads_in
from .form import aligned_of
from .likeness import Likeness, halves, likeness
from .looks import CONTRASTS, VIEWS, images_of_maps
from .store import Images, Made, Measured, Store
from .tables import (
    LEARNED,
    PEOPLE,
    Groups,
    anatomy_table,
    conditions_table,
    copies_table,
    likeness_tables,
    looks_table,
    shell_table,
)  # fmt: skip

RECONSTRUCTED, SAMPLED_LABELS = "test people reconstructed", "samples as labels"
HALVES = "half of them to the other half"
_COPIES, _SHOWN, _SEED = 8, 4, 424_242
_NOTES = (
    "Groups are folders of heads. Test people are those whom no training, choice of settings or normalisation used. Heads are rendered "
    "alike: OASIS-3's protocols at literature values, without texture and noise, so that images differ by anatomy alone. Samples are "
    "rendered with their partial volumes, 'as labels' without, like people's label maps; reconstructions with theirs.",
    "Fréchet distance, precision and recall are of 8 slices in each of three planes, from the same places in each brain, on features of "
    "an EfficientNet-Lite0 trained on ImageNet: the means of its 40 channels at an eighth of the resolution, as in suite paper, or of its "
    "last 320 channels ('deep features', which precision and recall use, with 3 neighbours in other heads). Each plane of each contrast "
    "is compared by itself and the results are averaged. Few slices make the distance too large: all groups are compared by the same "
    "number of heads, in up to 10 draws, and the distance of people to other people shows what is left. 'Brain': everything but brain "
    "and its fluid is black.",
    "Gradient energy is the mean squared gradient in the brain. MS-SSIM: corresponding axial slices of two brains; lower is more diverse. "
    "Thickness of cortex: distance of its voxels to white matter plus that to the nearest voxel that is not brain tissue, at most 5 mm. "
    "Closed skull: no path, over voxels' faces, leads from brain or fluid to the air outside without crossing bone in the vault, the "
    "brain's upper 60 mm. Bare skull: bone or brain there that touches air. Asymmetry: the difference of the head (face: its part in front "
    "and below) and its mirror image, moved and turned onto it, over the head. Islands: pieces of fluid of at most 0.1 ml, mostly "
    "surrounded by cortex.",
    "Memorisation: see suite samples without groups; copies are deformed as in training.",
)


@dataclass(frozen=True)
class Copy:
    """A deformed training person, by the ``name`` of the original; its brain in the atlas (None: not found there)."""

    name: str
    aligned: np.ndarray | None


def check(plan: Plan) -> None:
    """Raise PhysMRISynthError when a folder holds no heads, or samples are asked for without a sampling model."""
    _folders(plan)
    if plan.samples or plan.reconstructions:
        plan.sampler()


def _folders(plan: Plan) -> dict[str, list[HeadFile]]:
    assert plan.people is not None
    own = (PEOPLE, LEARNED, SAMPLED, SAMPLED_LABELS, RECONSTRUCTED)
    if taken := [name for name in plan.groups if name in own]:
        raise PhysMRISynthError(f"The name '{taken[0]}' is one of the suite's own. Give another with --groups.")
    named = {PEOPLE: plan.people} | ({LEARNED: plan.learned} if plan.learned is not None else {}) | dict(plan.groups)
    return {name: heads_in(folder) for name, folder in named.items()}


def measure(plan: Plan) -> Findings:
    """Compare the plan's groups, ``plan.samples`` samples of seeds from 0 on, and reconstructions of test people, with test people."""
    store, folders = Store(plan.cache), _folders(plan)
    with progress_bar(sum(map(len, folders.values())) + 2 * plan.samples + plan.reconstructions, "samples") as bar:
        groups: dict[str, list[Measured]] = {}
        for kind, files in folders.items():
            groups[kind] = [_counted(store.head(file), bar) for file in files]
        of: dict[str, str] = {}
        if plan.samples or plan.reconstructions:
            sampler = plan.sampler()
            of = {"sampler_sha256": sampler.model.sha256, "decoder_sha256": sampler.decoder.sha256}
            groups |= _reconstructed(plan, sampler, folders[PEOPLE], store, bar) | _sampled(plan, sampler, store, bar)
    copies = _copies(folders.get(LEARNED, ()))
    return compare(groups, copies, of)


def _counted(head: Measured, bar: Any) -> Measured:
    bar.update()
    return head


@dataclass(frozen=True)
class _Sample:
    """The head of a seed, sampled when it is first needed."""

    sampler: Sampler
    seed: int

    @cached_property
    def drawn(self) -> SampledFractions:
        return self.sampler.drawn(SampleOrder(self.seed))

    def soft(self) -> Made:
        """With its partial volumes."""
        return self._tissue(), _images(self.drawn.fractions), self.drawn.made

    def hard(self) -> Made:
        """As labels."""
        return self._tissue(), None, self.drawn.made

    def _tissue(self) -> np.ndarray:
        return self.drawn.fractions.argmax(axis=0).astype(np.uint8)


def _sampled(plan: Plan, sampler: Sampler, store: Store, bar: Any) -> dict[str, list[Measured]]:
    """Samples with their partial volumes, and as labels."""
    groups: dict[str, list[Measured]] = {SAMPLED: [], SAMPLED_LABELS: []} if plan.samples else {}
    expander = sampler.model.expander.sha256[:8] if sampler.model.expander else ""
    for seed in range(plan.samples):
        head, name = _Sample(sampler, seed), f"seed {seed}"
        key = f"sample-{sampler.model.sha256[:8]}{expander}{sampler.decoder.sha256[:8]}-{seed}"
        groups[SAMPLED].append(_counted(store.measured(key, name, head.soft), bar))
        groups[SAMPLED_LABELS].append(_counted(store.measured(f"{key}-labels", name, head.hard, groups[SAMPLED][-1].form), bar))
    return groups


def _images(fractions: np.ndarray) -> Images:
    return images_of_maps(maps_of(fractions, literature_values(FIELD_STRENGTH), np.random.default_rng(0)))


def _reconstructed(plan: Plan, sampler: Sampler, people: Sequence[HeadFile], store: Store, bar: Any) -> dict[str, list[Measured]]:
    """Test people, placed at random, from simulated scans through the network's latents, sharpened as samples are."""
    found = []
    for index, person in enumerate(people[: plan.reconstructions]):
        key = f"reconstructed-{sampler.decoder.sha256[:8]}-{person.sha256[:20]}-{index}"
        found.append(_counted(store.measured(key, person.name, partial(_reconstruction, person, index, sampler.decoder)), bar))
    return {RECONSTRUCTED: found} if found else {}


def _reconstruction(person: HeadFile, index: int, decoder: Weights) -> Made:
    device = choose_device("auto")
    precision = fastest_precision(device.type)
    scan = good_scan(Simulator((_labelled(person),), (), SHAPE, _SEED + index), 0)
    likely = sharpened(decode(decoder, latent_of(scan, decoder, device, precision).latent[0], device, precision))
    return likely.argmax(axis=0).astype(np.uint8), _images(likely), 1


def _labelled(person: HeadFile) -> LabelledHead:
    """A head whose field of view is its brain's box: it stays where it is."""
    return LabelledHead(person.name, person.tissue(), (np.zeros(3), np.array(SHAPE)))


def _copies(people: Sequence[HeadFile]) -> list[Copy]:
    """Deformed copies of some training people, spread over them."""
    chosen = [people[place] for place in np.unique(np.linspace(0, len(people) - 1, min(_COPIES, len(people))).astype(int))]
    found = []
    for number, person in enumerate(chosen):
        placed = PlaceHead(_labelled(person), SHAPE, **PLACEMENT)
        tissue = placed(Sample(np.zeros((0, 0, 0), dtype=np.uint8)), np.random.default_rng([_SEED, number])).tissue
        found.append(Copy(person.name, aligned_of(tissue)))
    return found


def compare(groups: Groups, copies: Sequence[Copy] = (), of: Mapping[str, str] | None = None) -> Findings:
    """As the suite does, on measured heads; ``copies`` are deformed training people."""
    number = min(len(heads) for heads in groups.values())
    likenesses = {PEOPLE: _likenesses(groups, PEOPLE, number)}
    if LEARNED in groups:
        likenesses[LEARNED] = _likenesses(groups, LEARNED, number)
    tables = [table for reference, found in likenesses.items() for table in likeness_tables(found, reference)]
    tables += [looks_table(groups), anatomy_table(groups), shell_table(groups)]
    near = _near(groups, copies)
    asked = conditions_table(groups)
    tables += [*([asked] if asked else []), *([copies_table(near, [*groups, DEFORMED], DEFORMED)] if near else [])]
    records = [_record(kind, head) for kind, heads in groups.items() for head in heads]
    return Findings([*records, *near, *_likeness_records(likenesses)], tables, _NOTES, partial(draw_pictures, _pictures(groups)), of or {})


def _likenesses(groups: Groups, reference: str, number: int) -> dict[str, Likeness]:
    people = groups[reference]
    found = {kind: likeness(people, heads, number) for kind, heads in groups.items() if kind != reference}
    half = len(people) // 2
    return found | ({HALVES: halves(people, min(number, half))} if half > 1 else {})


def _near(groups: Groups, copies: Sequence[Copy]) -> list[Record]:
    """Distances of every head, and of copies, to training people."""
    learned = groups.get(LEARNED, ())
    if len(learned) < 2:
        return []
    records = [
        {"kind": kind, "head": head.name, **nearness(kind, head, [one for one in learned if one is not head])}
        for kind, heads in groups.items()
        if kind != SAMPLED_LABELS
        for head in heads
    ]
    return records + [{"kind": DEFORMED, "head": copy.name, **nearness(DEFORMED, copy, learned)} for copy in copies]


def _record(kind: str, head: Measured) -> Record:
    return {
        "kind": kind, "head": head.name, "known": dict(head.known), "draws": head.draws, "sharpness": dict(head.looks.sharpness),
        **head.form.numbers,
    }  # fmt: skip


def _likeness_records(likenesses: Mapping[str, Mapping[str, Likeness]]) -> list[Record]:
    return [
        {
            "kind": "likeness", "to": reference, "heads": kind, "compared": one.heads, "view": view, "contrast": contrast,
            "frechet": one.distance[view, contrast], "frechet_sd": one.sd[view, contrast], "frechet_deep": one.deep[view, contrast],
            "precision": one.precision[view, contrast], "recall": one.recall[view, contrast],
        }
        for reference, found in likenesses.items() for kind, one in found.items() for view in VIEWS for contrast in CONTRASTS
    ]  # fmt: skip


def _pictures(groups: Groups) -> list[list[Picture]]:
    """A row for each group: the first heads in three planes."""
    return [
        [
            Picture(f"{kind}\n{head.name}", plane if axis == 0 else plane[::-1], 0.0, 255.0)
            for head in heads[:_SHOWN] for axis, plane in enumerate(head.looks.portrait)
        ]
        for kind, heads in groups.items()
    ]  # fmt: skip
