"""The tables of a comparison of groups of heads."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import ks_2samp

from PhysMRISynthLib.network.diffusion_config import CONDITIONS

from ..results import Table
from .likeness import Likeness, diversity
from .looks import CONTRASTS, VIEWS
from .store import Measured

PEOPLE, LEARNED = "test people", "training people"
Groups = Mapping[str, Sequence[Measured]]
QUANTITIES = {
    "brain": "brain ml", "white_matter": "white matter ml", "cortex": "cortex ml", "deep_grey": "deep grey matter ml",
    "ventricles": "ventricles ml", "thickness": "cortex mm", "white_surface": "white surface cm²",
}  # fmt: skip
_SHELL = {"bare": "bare skull, mm²", "asymmetry": "asymmetry of the hull, %", "face_asymmetry": "of the face, %"}
_AGE = 35
_WITHIN_PERCENT = 5.0


def likeness_tables(found: Mapping[str, Likeness], reference: str) -> list[Table]:
    """A table for each view of the likeness of groups to the heads of ``reference``."""
    columns = ("heads", "heads compared", *CONTRASTS, "mean", "SD over draws", "deep features", "precision", "recall")
    tables = []
    for view in VIEWS:
        rows = tuple((group, str(one.heads), *_likeness_cells(one, view)) for group, one in found.items())
        tables.append(Table(f"Fréchet distance to {reference}, precision and recall: {view}", columns, rows))
    return tables


def _likeness_cells(one: Likeness, view: str) -> tuple[str, ...]:
    contrasts = (f"{one.distance[view, contrast]:.2f}" for contrast in CONTRASTS)
    return (
        *contrasts, f"{one.mean(one.distance, view):.2f}", f"{one.mean(one.sd, view):.2f}", f"{one.mean(one.deep, view):.3f}",
        f"{one.mean(one.precision, view):.2f}", f"{one.mean(one.recall, view):.2f}",
    )  # fmt: skip


def anatomy_table(groups: Groups) -> Table:
    """Median (5th to 95th percentile) of each quantity, and its Kolmogorov-Smirnov distance from people; in two parts by age where it is
    known."""
    people = [head for name in (PEOPLE, LEARNED) for head in groups.get(name, ())]
    rows = []
    for kind, heads in groups.items():
        rows.append(_anatomy_row(kind, heads, _others(kind, groups, people)))
        for title, chosen in ((f"{kind}, under {_AGE} years", _younger), (f"{kind}, {_AGE} and older", _older)):
            if part := [head for head in heads if chosen(head)]:
                rows.append(_anatomy_row(title, part, [head for head in _others(kind, groups, people) if chosen(head)]))
    return Table(
        "Anatomy: median (5 to 95 %); Kolmogorov-Smirnov distance from people, p", ("heads", "number", *QUANTITIES.values()), tuple(rows)
    )


def _others(kind: str, groups: Groups, people: Sequence[Measured]) -> Sequence[Measured]:
    """Whom a group is compared with: all people; people of one split with those of the other."""
    other = {PEOPLE: LEARNED, LEARNED: PEOPLE}.get(kind)
    return people if other is None else groups.get(other, ())


def _younger(head: Measured) -> bool:
    return head.known.get("age", np.nan) < _AGE


def _older(head: Measured) -> bool:
    return head.known.get("age", np.nan) >= _AGE


def _anatomy_row(title: str, heads: Sequence[Measured], people: Sequence[Measured]) -> tuple[str, ...]:
    cells = []
    for name in QUANTITIES:
        values, theirs = (_values(each, name) for each in (heads, people))
        if not values.size:
            cells.append("")
            continue
        low, middle, high = np.percentile(values, (5, 50, 95))
        digits = 2 if name == "thickness" else 0
        apart = "; {:.2f}, p {:.2g}".format(*_kolmogorov_smirnov(values, theirs)) if theirs.size else ""
        cells.append(f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f}){apart}")
    return (title, str(len(heads)), *cells)


def _kolmogorov_smirnov(values: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where the exact p fails, the asymptotic one is given
        test = ks_2samp(values, others)
    return float(test.statistic), float(test.pvalue)


def _values(heads: Sequence[Measured], name: str) -> np.ndarray:
    found = np.array([head.number(name) for head in heads])
    return found[np.isfinite(found)]


def looks_table(groups: Groups) -> Table:
    """Sharpness over that of people, and diversity."""
    people = groups[PEOPLE]
    level = {contrast: np.mean([head.looks.sharpness[contrast] for head in people]) for contrast in CONTRASTS}
    rows = []
    for kind, heads in groups.items():
        ratios = [np.array([head.looks.sharpness[c] for head in heads]) / level[c] for c in CONTRASTS]
        cells = (f"{values.mean():.2f} ({values.min():.2f} to {values.max():.2f})" for values in ratios)
        rows.append((kind, str(len(heads)), *cells, f"{diversity(heads):.3f}"))
    columns = ("heads", "number", *(f"gradient energy {c} over people's (range)" for c in CONTRASTS), "MS-SSIM between heads")
    return Table("Sharpness and diversity", columns, tuple(rows))


def shell_table(groups: Groups) -> Table:
    """Skull, scalp, symmetry, islands of fluid in cortex, and midline."""
    people = [head for name in (PEOPLE, LEARNED) for head in groups.get(name, ())]
    most = max(head.number("face_asymmetry") for head in people)
    rows = []
    for kind, heads in groups.items():
        means = (_mean_and_most(heads, name) for name in _SHELL)
        faces = sum(head.number("face_asymmetry") <= most for head in heads)
        islands = (_mean_and_most(heads, "islands"), f"{np.mean(_values(heads, 'islands_ml')):.2f}")
        closed = (str(int(sum(head.number(name) for head in heads))) for name in ("skull_closed", "skull_closed_2mm"))
        whole = [head for head in heads if head.number("midline_whole") == 1.0]
        midline = (str(len(whole)), str(sum(head.draws == 1 for head in whole)))
        rows.append((kind, str(len(heads)), *closed, *means, str(faces), *islands, *midline))
    columns = (
        "heads", "number", "skull closed", "but for holes of 2 mm", *(f"{title}: mean (most)" for title in _SHELL.values()),
        "face as symmetric as people's", "islands of fluid in cortex: mean (most)", "ml", "midline within limits", "at the first attempt",
    )  # fmt: skip
    return Table("Skull, symmetry, islands, midline", columns, tuple(rows))


def _mean_and_most(heads: Sequence[Measured], name: str) -> str:
    values = _values(heads, name)
    return f"{values.mean():.1f} ({values.max():.1f})" if values.size else ""


def conditions_table(groups: Groups) -> Table | None:
    """How well the volumes that were asked for are met (None: none were)."""
    rows = []
    for kind, heads in groups.items():
        for name in CONDITIONS:
            pairs = [(head.known[name], head.number(name)) for head in heads if name in head.known and name in head.form.numbers]
            if kind not in (PEOPLE, LEARNED) and pairs:
                asked, got = np.array(pairs).T
                errors = 100.0 * (got - asked) / np.maximum(np.abs(asked), 1e-9)
                within = f"{int((np.abs(errors) <= _WITHIN_PERCENT).sum())}"
                rows.append(
                    (kind, name.replace("_", " "), str(len(pairs)), within, f"{np.abs(errors).mean():.1f}", f"{errors.mean():+.1f}")
                )
    columns = ("heads", "condition", "number", f"within {_WITHIN_PERCENT:g} %", "mean error without sign, %", "mean error, %")
    return Table("Conditions met", columns, tuple(rows)) if rows else None


def copies_table(records: Sequence[Mapping[str, object]], kinds: Sequence[str], copied: str) -> Table:
    """How near each group's heads are to training people, beside copies of these (the kind ``copied``)."""

    def of(kind: str, name: str) -> np.ndarray:
        return np.array([record[name] for record in records if record["kind"] == kind and name in record], dtype=float)

    own = [bool(record.get("own")) for record in records if record["kind"] == copied]
    farthest = of(copied, "distance")[own].max() if any(own) else 0.0
    share = of(copied, "distance_over_second")[own].max() if any(own) else 0.0
    rows = []
    for kind in kinds:
        near, over = of(kind, "distance"), of(kind, "distance_over_second")
        if near.size:
            cells = (f"{near.mean():.3f} ({near.min():.3f})", f"{over.mean():.3f} ({over.min():.3f})")
            rows.append((kind, str(near.size), *cells, str(int((near < farthest).sum())), str(int((over <= share).sum()))))
    columns = (
        "heads", "number", "distance to the nearest training person: mean (least)", "over the second nearest: mean (least)",
        f"nearer than the farthest copy ({farthest:.3f})", f"match one person as closely as copies do ({share:.2f})",
    )  # fmt: skip
    return Table("Memorisation", columns, tuple(rows))
