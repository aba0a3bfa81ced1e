"""A folder of people's brains in whole heads, as written once and learned from: label maps, and a table of who is in which head."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.intake.volumes import write_image
from PhysMRISynthLib.whole_file import whole_file

from .anatomy import LabelledHead, read_labelled_head
from .hemisphere_mixing import head_image
from .oasis3_folder import AnatomyFile, anatomies
from .people_in_heads import Fit, put_in, read_anatomy

TABLE = "heads.tsv"
_PERSON = "person"
_COLUMNS = ("head", "age", "sex", "least_jacobian", "hull_dice", "bone_lost_ml")
_SEX = {"F": 0.0, "M": 1.0}


def pairs(data: Path, shells: int, split: str = "train") -> list[tuple[AnatomyFile, AnatomyFile]]:
    """Each person of a ``split`` of a data folder with ``shells`` of the heads of that split, which take turns. Raises ImageError when
    there are no people or no heads."""
    found = anatomies(data, split)
    people = [anatomy for anatomy in found if anatomy.name.startswith(_PERSON)]
    heads = [anatomy for anatomy in found if anatomy not in people]
    if not people or not heads:
        raise ImageError(f"{data} lacks people or head_labels. Give the folder that holds both.")
    return [(person, heads[(place + 5 * turn) % len(heads)]) for turn in range(shells) for place, person in enumerate(people)]


def write_people_set(
    data: Path, out: Path, shells: int = 1, progress: Callable[[str], None] = lambda line: None, split: str = "train"
) -> int:
    """Write the heads that ``out`` lacks, and the table; returns how many there are. An interrupted run goes on.

    Raises ImageError when ``data`` lacks people or heads, or a label map cannot be used."""
    out.mkdir(parents=True, exist_ok=True)
    told = _read_table(data / "people" / "people.tsv", "person")
    done = _read_table(out / TABLE, "head")
    head_of = cache(read_anatomy)
    chosen = pairs(data, shells, split)
    for number, (person, head) in enumerate(chosen, start=1):
        name = f"{person.name}_{head.name}"
        if name in done:
            continue
        progress(f"{name}: head {number} of {len(chosen)}")
        fit = put_in(read_anatomy(person.labels), head_of(head.labels))
        write_image(head_image(fit.numbers), out / f"{name}.nii.gz")
        done[name] = _row(name, told.get(person.labels.name.removesuffix("_labels.nii.gz"), {}), fit)
        _write_table(list(done.values()), out / TABLE)
    return len(done)


def _row(name: str, person: dict[str, str], fit: Fit) -> dict[str, str]:
    measured = {
        "least_jacobian": f"{fit.least_jacobian:.3f}",
        "hull_dice": f"{fit.hull_dice:.4f}",
        "bone_lost_ml": f"{fit.bone_lost_ml:.1f}",
    }
    return {"head": name, "age": person.get("age", ""), "sex": person.get("sex", ""), **measured}


def _read_table(path: Path, key: str) -> dict[str, dict[str, str]]:
    """The rows of a tab-separated table by one of its columns; none without the file."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row[key]: row for row in csv.DictReader(file, delimiter="\t")}


def _write_table(rows: Sequence[dict[str, str]], path: Path) -> None:
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, _COLUMNS, delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def read_people_set(folder: Path) -> tuple[LabelledHead, ...]:
    """The heads of a folder, with age (years) and sex (0: female, 1: male) where the table states them.

    Raises ImageError when there is no table, or a label map cannot be read."""
    rows = _rows(folder)
    return tuple(replace(read_labelled_head(folder / f"{name}.nii.gz"), name=name, numbers=_numbers(row)) for name, row in rows.items())


def people_set_size(folder: Path) -> int:
    """How many heads the folder has. Raises ImageError when there is no table."""
    return len(_rows(folder))


def _rows(folder: Path) -> dict[str, dict[str, str]]:
    rows = _read_table(folder / TABLE, "head")
    if not rows:
        raise ImageError(f"{folder} has no {TABLE}. Write it with 'physmrisynth train people-in-heads'.")
    return rows


def _numbers(row: dict[str, str]) -> dict[str, float]:
    age = {"age": float(row["age"])} if row["age"] else {}
    return {**age, **({"sex": _SEX[row["sex"]]} if row["sex"] in _SEX else {})}
