"""Inputs on one grid: motion is mended or named with the option that mends it; what cannot be mended forbids the maps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import SimpleITK as sitk

from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import Volume, image_like, read_volume
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.workflow.estimation.aligned import align_inputs
from PhysMRISynthLib.workflow.estimation.verdict import Level, Reason
from Testing.imaging.phantoms import head
from Testing.imaging.test_misfit import ON, moved

T1W = Acquisition("t1w", Volume(head(ON, 0)), Protocol.of("mprage"))


def aligned(image: sitk.Image, register: bool | None = None) -> tuple[str, tuple[Reason, ...]]:
    t2w = Acquisition("t2w", Volume(image), Protocol.of("tse"))
    alignments, reasons = align_inputs([T1W, t2w], T1W, register, ON)
    return alignments["t2w"].method, reasons


def test_a_patient_who_did_not_move_is_left_as_he_is() -> None:
    assert aligned(head(ON, 1)) == ("same grid", ())


def test_motion_on_one_grid_is_mended_and_noted() -> None:
    method, (note,) = aligned(head(ON, 1, moved(3.0, 2.0)))
    assert method == "rigid registration" and note.level is Level.GOOD and "registered" in note.text


@pytest.mark.parametrize(("millimetres", "level"), ((1.8, Level.CAUTION), (7.0, Level.DO_NOT_USE)))
def test_where_registration_is_forbidden_motion_names_the_option(millimetres: float, level: Level) -> None:
    method, (reason,) = aligned(head(ON, 1, moved(millimetres, 0.0)), register=False)
    assert method == "same grid" and reason.level is level and "Register the inputs" in reason.text and reason.image == "t2w"
    assert aligned(head(ON, 1, moved(millimetres, 0.0)), register=True)[1] == ()  # the remedy works


def test_a_mirrored_input_forbids_the_maps() -> None:
    mirrored = image_like(sitk.GetArrayFromImage(head(ON, 1))[..., ::-1], ON)
    _, (reason,) = aligned(mirrored)
    assert reason.level is Level.DO_NOT_USE and "Left and right are exchanged" in reason.text
    assert "Convert both again" in reason.text and aligned(head(ON, 1))[1] == ()  # the remedy works


def test_what_is_measured_between_thick_slices_after_registration_is_no_motion(data: Callable[[str], Path]) -> None:
    """By this measure the published registration of these scans leaves more (1.4 mm) than ours."""
    folder = data("real/raw_patient12/visit1")
    t1w, flair = (
        Acquisition(role, read_volume(folder / f"{role}.nii.gz"), Protocol.of(kind)) for role, kind in (("t1w", "se"), ("flair", "flair"))
    )
    alignments, reasons = align_inputs([t1w, flair], t1w, None, t1w.volume.image)
    assert alignments["flair"].method == "rigid registration" and not reasons
