"""An image with its acquisition protocol, and the preparation of both for a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...errors import ImageError, ProtocolError
from ...headers.header_values import number_of, text_of
from ...headers.image_type import UNIFORM, is_reformatted, what_it_is
from ...headers.sequence_family import LONGEST_BELIEVABLE_ECHO_TIME, is_variable_flip
from ...physics.protocol import Protocol
from .volumes import Volume, image_like

CONVENTIONAL_ECHO_TIME = 95.0
"""ms: variable-flip trains with a nominal echo time of 390 to 560 ms have the contrast of 80 to 110 ms."""
_VARIABLE_TRAINS = {"tse": "space", "flair": "space_flair"}
"""The sequence with variable refocusing angles, by its conventional sequence."""
_SHORTEST_NOMINAL_ECHO_TIME = 150.0
_TRAINS = ("tse", "flair", "stir", "ir", "psir")
_THICKER, _LARGEST_OVERLAP = 1.05, 2.05
"""Relative to the spacing, with tolerance for rounding: minimum excess of slice spacing over voxel spacing, and largest slice thickness;
interpolation to half the spacing leaves slices twice as thick as their spacing."""
_MP2RAGE_RANGE = 4095.0
_SIGNED_SHARE = 0.005
"""Share of negative voxels that distinguishes a signed image from an interpolated magnitude image."""


@dataclass(frozen=True)
class Acquisition:
    """One input: its user-facing ``name`` (t1w, t2w, flair, …), its volume and its protocol.

    ``field_strength`` in tesla where the header states it. ``conventional_echo_time`` (ms) is given when the echo time in the header is
    only nominal and is to be fitted around this value.
    """

    name: str
    volume: Volume
    protocol: Protocol
    conventional_echo_time: float | None = None
    field_strength: float | None = None
    slice_thickness_mm: float | None = None
    """Width (mm) of the slice profile along the thickest axis (None: the spacing, slices without gap)."""


def acquisition(name: str, volume: Volume, protocol: Protocol, fields: Mapping[str, Any] | None = None) -> Acquisition:
    """An input ready for the fit: the nominal echo time of a variable-flip train is replaced.

    Such a train is recognised by an echo time above 250 ms or by its name in the header's ``fields``. MP2RAGE's uniform image is
    rescaled from the scanner's 0 to 4095 to the equation's −0.5 to 0.5. Raises ImageError for a signed image that has lost its sign, and
    for another modality in the header.
    """
    modality = text_of(fields or {}, "Modality").strip().upper()
    if modality not in ("", "MR"):
        raise ImageError(f"{name}: the header says that its modality is {modality[:20]}. Give an MR image.")
    kind = what_it_is(fields or {})
    if kind is not None and not (kind == UNIFORM and not protocol.sequence.uses_pd):
        raise ImageError(f"{name}: the header's ImageType says that this is {kind}. Give the weighted image in magnitude.")
    if is_reformatted(fields or {}):
        note = "The header says that this image was reformatted from another one. Give the original if there is one."
        volume = replace(volume, notes=(*volume.notes, note))
    volume = _with_sign(volume, protocol, name)
    thickness = _slice_thickness(fields or {}, volume)
    volume = _with_overlap_noted(volume, thickness)
    echo_time = protocol.values.get("TE", 0.0)
    named = echo_time > _SHORTEST_NOMINAL_ECHO_TIME and is_variable_flip(fields or {})
    if protocol.sequence.name not in _TRAINS or not (echo_time > LONGEST_BELIEVABLE_ECHO_TIME or named):
        return Acquisition(name, volume, protocol, slice_thickness_mm=thickness)
    train = _variable_train(protocol, fields or {}) or _conventional_train(protocol)
    return Acquisition(name, volume, train, train.values["TE"], slice_thickness_mm=thickness)


def _variable_train(protocol: Protocol, fields: Mapping[str, Any]) -> Protocol | None:
    """The protocol with the variable-angle train indicated by its nominal echo time; None if none fits its times."""
    if protocol.sequence.name not in _VARIABLE_TRAINS:
        return None
    nominal = protocol.values["TE"]
    note = (
        f"The echo time of {nominal:g} ms is the nominal one of a variable-flip train, whose angles no header states. They are taken "
        "from the published design of such trains; the effective echo time is fitted."
    )
    train = Protocol.of(_VARIABLE_TRAINS[protocol.sequence.name])
    echoes, spacing = number_of(fields, "EchoTrainLength") or 0.0, train.values["ESP"]
    stated = nominal <= echoes * spacing
    values = {name: protocol.values[name] for name in ("TR", "TE", "TI") if name in protocol.values}
    sources = {name: protocol.sources.get(name, "script") for name in values}
    values["ETL"] = echoes if stated else float(np.ceil(2.0 * nominal / spacing))
    sources["ETL"] = "header" if stated else "assumed: k-space centre in the middle of the train"
    try:
        return replace(train, values={**train.values, **values}, sources={**train.sources, **sources}, notes=(*protocol.notes, note))
    except ProtocolError:  # no such train fits into TR
        return None


def _conventional_train(protocol: Protocol) -> Protocol:
    """The protocol with the echo time of a conventional train of the same contrast."""
    nominal = protocol.values["TE"]
    note = (
        f"The echo time of {nominal:g} ms is the nominal one of a variable-flip train. Its contrast is that of about "
        f"{CONVENTIONAL_ECHO_TIME:g} ms; the effective echo time is fitted around that value."
    )
    return protocol.changed(f"variable-flip train, nominal {nominal:g} ms", note, TE=CONVENTIONAL_ECHO_TIME)


def _slice_thickness(fields: Mapping[str, Any], volume: Volume) -> float | None:
    """The slice thickness (mm) if the header's value leaves a gap to the next slice or overlaps it; None: slices touch."""
    stated = number_of(fields, "SliceThickness")
    *_, second, spacing = sorted(volume.image.GetSpacing())
    if stated is None or stated <= 0.0:
        return None
    overlaps = spacing > _THICKER * second and _THICKER * spacing < stated <= _LARGEST_OVERLAP * spacing  # else: across which axis?
    return stated if stated < spacing or overlaps else None


def _with_overlap_noted(volume: Volume, thickness: float | None) -> Volume:
    spacing = max(volume.image.GetSpacing())
    if thickness is None or thickness < spacing:
        return volume
    note = f"Slices of {thickness:g} mm lie {spacing:g} mm apart: they overlap, and each is modelled as the mean over its whole thickness."
    return replace(volume, notes=(*volume.notes, note))


def _with_sign(volume: Volume, protocol: Protocol, name: str) -> Volume:
    """The volume with the sign of its protocol's images."""
    if not protocol.sequence.signed or (volume.voxels < 0).mean() > _SIGNED_SHARE:
        return volume
    if protocol.sequence.uses_pd:
        raise ImageError(
            f"{name} has hardly any negative voxels, but {protocol.sequence.title.lower()} keeps the sign. "
            "Export the phase-sensitive image with its sign, or give the magnitude image as 'ir'."
        )
    highest = float(np.percentile(volume.voxels, 99.9))
    if not 0.5 * _MP2RAGE_RANGE < highest < 1.01 * _MP2RAGE_RANGE:
        raise ImageError(
            f"{name}: a uniform image runs from −0.5 to 0.5, or from 0 to {_MP2RAGE_RANGE:g}; this one reaches {highest:.4g}. "
            "Export it again in one of these ranges."
        )
    scaled = volume.voxels / np.float32(_MP2RAGE_RANGE) - np.float32(0.5)
    note = f"The uniform image was assumed to range from 0 to {_MP2RAGE_RANGE:g} and was scaled to −0.5 to 0.5."
    return replace(volume, image=image_like(scaled, volume.image), notes=(*volume.notes, note))
