"""What a message tells the user to do works: each remedy is followed here, and none is missing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import PhysMRISynthLib
from PhysMRISynthLib.errors import ImageError, PhysMRISynthError
from PhysMRISynthLib.workflow.estimation.estimate import Estimate, estimate_tissue_maps
from PhysMRISynthLib.workflow.estimation.inputs import field_strength_of, read_acquisition
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.results.outputs import whole_folder
from Testing.refusals import refused
from Testing.validation.defects import acquisitions, clean_scans, in_brain, moved
from Testing.workflow.remedies import TROUBLES, Trouble, written

LIBRARY = Path(PhysMRISynthLib.__file__).parent
FILES = ("imaging/intake/volumes", "imaging/intake/nifti", "imaging/intake/acquisition", "headers/header_protocol",
         "headers/sequence_family", "imaging/intake/sidecar", "headers/contrast_agent", "imaging/head/alignment",
         "workflow/estimation/inputs", "workflow/estimation/input_checks")  # fmt: skip
"""Where inputs are read and refused."""
VERB = re.compile(r"\b(Give|Check|Export|Convert|Choose|Correct|Rename|Copy|Resample|Look)\b")
FOLLOWED_ELSEWHERE = {
    "Check free space and permissions": "a full or a locked disk: Testing/faults",
    "you may read it": "a locked file: Testing/faults",
    "a pipe or a device": "Testing/imaging/test_volumes.py",
    "letters that are not Unicode": "Testing/imaging/test_volumes.py",
    "volumes are not written in this format": "Testing/imaging/test_volumes.py",
    "which a file of": "Testing/imaging/test_volumes.py",
    "at right angles": "Testing/imaging/test_volumes.py",
    "onto a grid that is not skewed": "Testing/imaging/test_volumes.py",
    "position or direction that is not finite": "Testing/imaging/test_volumes.py",
    "the header states a voxel spacing of": "Testing/imaging/test_nifti_forms.py",
    "qform and sform codes are 0": "a note; Testing/imaging/test_nifti_forms.py",
    "Check that the image lies where it should": "a note; Testing/imaging/test_nifti_forms.py",
    "NIfTI-2": "Testing/imaging/test_volumes.py",
    "to be registered is empty": "an empty image is refused when it is read",
    "could not be registered: no overlap": "Testing/imaging/test_alignment.py",
    "Registration turned an image": "Testing/imaging/test_alignment.py",
    "Give the protocol if": "a note; the protocol goes first: Testing/imaging/test_header_table.py",
    "Give its protocol for trustworthy maps": "a note; Testing/imaging/test_header_table.py",
    "Give the original if there is one": "a note",
    "Look at the inputs for parts": "no input is known that leads there",
}
"""Pieces of the messages whose remedies other tests follow, or that nobody can follow in a test."""


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.told)
def test_the_remedy_works(trouble: Trouble, tmp_path: Path) -> None:
    with refused(PhysMRISynthError, re.escape(trouble.told)):
        trouble.happen(tmp_path)
    trouble.remedy(tmp_path)


def messages(file: str) -> Iterator[str]:
    """The texts in a module's source that tell the user to do something, what is filled in left out; not its docstrings."""
    tree = ast.parse((LIBRARY / f"{file}.py").read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if id(node) in docs | inner:
            continue
        if isinstance(node, ast.JoinedStr):
            text = "…".join(part.value if isinstance(part, ast.Constant) else "" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if VERB.search(text) and " " in text.strip():
            yield text


@pytest.mark.parametrize("file", FILES)
def test_no_remedy_is_left_out(file: str) -> None:
    """A message may be put together of pieces, of which one names the remedy."""
    known = [*(trouble.told for trouble in TROUBLES), *FOLLOWED_ELSEWHERE]
    plain = [re.sub("[^a-z]+", " ", piece.lower()).strip() for piece in known]
    for message in messages(file):
        text = re.sub("[^a-z]+", " ", message.lower())
        assert any(piece in text or text.strip() in piece for piece in plain), message


@pytest.mark.parametrize(("stated", "tesla"), (("3T", 3.0), ("1.5 Tesla", 1.5), (15000, 1.5), ("2.89", 2.9), (0.064, 0.064)))
def test_a_field_strength_in_other_words_is_understood(tmp_path: Path, stated: object, tesla: float) -> None:
    read = read_acquisition("t1w", written(tmp_path, MagneticFieldStrength=stated))
    assert field_strength_of([read], None) == (tesla, "header")


def test_of_two_runs_into_one_folder_the_first_one_that_ends_counts(tmp_path: Path) -> None:
    with refused(ImageError, r"Another run has written into .* Choose another --out"), whole_folder(tmp_path, False) as late:
        (late / "T1.txt").write_text("late")
        with whole_folder(tmp_path, False) as early:
            (early / "T1.txt").write_text("early")
            (early / "T2.txt").write_text("early")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"T1.txt": "early", "T2.txt": "early"}
    with whole_folder(tmp_path / "other", False) as again:
        (again / "T1.txt").write_text("late")
    assert (tmp_path / "other" / "T1.txt").read_text() == "late"


def estimated(scans: dict[str, sitk.Image], register: bool | None = None) -> Estimate:
    return estimate_tissue_maps(acquisitions(scans), EstimateOrder(register=register, prior="literature"))


def reasons(found: Estimate) -> str:
    return " ".join(reason.sentence for reason in found.verdict.reasons)


def test_moved_inputs_whose_registration_was_forbidden_are_registered_when_it_is_allowed() -> None:
    head = small_head()
    scans = dict(moved(9.0, 4.0, "t2w")(clean_scans(head, seed=1), head))
    assert "registration was forbidden. Register the inputs" in reasons(estimated(scans, register=False))
    assert "mm from its place" not in reasons(estimated(scans, register=True))


def test_a_clipped_image_may_be_left_out() -> None:
    head = small_head()
    scans = dict(in_brain(lambda v, b: np.minimum(v, 1.3 * np.percentile(v[b], 60)), "t2w")(clean_scans(head, seed=1), head))
    assert "or leave it out" in reasons(estimated(scans))
    assert "highest value" not in reasons(estimated({role: image for role, image in scans.items() if role != "t2w"}))
