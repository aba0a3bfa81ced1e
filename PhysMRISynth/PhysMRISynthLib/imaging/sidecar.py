"""From a BIDS sidecar (seconds) to a protocol (ms), and what to do about nominal echo times and missing headers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError, ProtocolError
from ..physics.protocol import Protocol, parse_protocol
from ..physics.sequences import sequence_named
from .acquisition import Acquisition
from .volumes import SUFFIXES, Volume, image_like

_KEYS = {"RepetitionTime": "TR", "EchoTime": "TE", "InversionTime": "TI"}
_DEFAULT_SEQUENCE = {"t1w": "mprage", "t2w": "tse", "flair": "flair"}
_SPEC_KEY = "PhysMRISynthProtocol"
"""Where our own simulated images keep their whole protocol: BIDS has no words for train lengths."""
_NAMES = ("SequenceName", "PulseSequenceDetails", "SeriesDescription", "ProtocolName")
USED_FIELDS = (
    *_KEYS, *_NAMES, _SPEC_KEY, "FlipAngle", "RepetitionTimePreparation", "EchoTrainLength", "MagneticFieldStrength", "MRAcquisitionType",
    "ScanningSequence", "ContrastBolusAgent", "ContrastBolusIngredient", "SliceThickness",
)  # fmt: skip
"""All that is ever asked of a sidecar; nothing of it tells who was scanned."""
_SHORTEST_MPRAGE_TR = 300.0
_USUAL_TRAIN = 150.0
"""ms: the readout of a 2D turbo spin echo (the presets have the same)."""
_MP2RAGE_RANGE = 4095.0
_SIGNED_SHARE = 0.005
"""Share of negative voxels that tells a signed image from a magnitude image that was interpolated."""
_VARIABLE_FLIP_NAMES = ("tse_vfl", "spc", "space", "cube", "vista")
LONGEST_BELIEVABLE_ECHO_TIME = 250.0
CONVENTIONAL_ECHO_TIME = 95.0
"""ms: variable-flip trains with a nominal echo time of 390 to 560 ms have the contrast of 80 to 110 ms."""


def sidecar_of(path: Path) -> Path | None:
    """The JSON file beside a volume (same name without its suffixes), if there is one."""
    suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), path.suffix)
    candidate = path.with_name(path.name[: len(path.name) - len(suffix)] + ".json")
    return candidate if candidate.is_file() else None


def read_sidecar(path: Path) -> dict[str, Any]:
    """The fields of a sidecar. Raises ProtocolError when it is not a JSON object."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProtocolError(
            f"{path} is not a readable JSON sidecar ({error}). Correct it, or give the protocol on the command line."
        ) from error
    if not isinstance(fields, dict):
        raise ProtocolError(f"{path} is not a JSON object. Correct it, or give the protocol on the command line.")
    return fields


def protocol_from_sidecar(fields: Mapping[str, Any], role: str, source: str) -> Protocol:
    """The protocol that a sidecar describes, for an input of ``role`` t1w, t2w or flair.

    Values that the sidecar lacks are defaults, and say so. Raises ProtocolError for values that are not numbers or contradict.
    """
    if isinstance(fields.get(_SPEC_KEY), str):
        return parse_protocol(fields[_SPEC_KEY], source)
    values = {name: 1000.0 * _number(fields, key, source) for key, name in _KEYS.items() if fields.get(key) is not None}
    if values.get("TI") == 0.0:  # some converters write 0 for "none"
        del values["TI"]
    if fields.get("FlipAngle") is not None:
        values["FA"] = _number(fields, "FlipAngle", source)
    sequence = sequence_named(_sequence_name(values, fields, role))
    if sequence.name == "mprage" and fields.get("RepetitionTimePreparation") is not None:  # from inversion to inversion, as ours
        values["TR"] = 1000.0 * _number(fields, "RepetitionTimePreparation", source)
    if sequence.name == "mprage" and values.get("TR", math.inf) < _SHORTEST_MPRAGE_TR:
        raise ProtocolError(
            f"{source}: a repetition time of {values['TR']:g} ms runs from pulse to pulse; that of an MPRAGE is needed from inversion to "
            "inversion (about 2000 ms). Give the protocol on the command line."
        )
    allowed = {p.name for p in sequence.parameters}
    train = {**_fitting_train(sequence.name, values), **_readout_train(sequence.name, values, fields)}
    try:
        protocol = Protocol.of(sequence.name, source, **train, **{k: v for k, v in values.items() if k in allowed})
    except ProtocolError as error:
        raise ProtocolError(f"{source}: {error} Give the protocol on the command line.") from error
    note = None
    if sequence.name == "spgr":
        note = (
            "TR is short and no inversion time is stated: a gradient echo without inversion (spgr) is assumed. "
            "Give the protocol if it had one."
        )
    return protocol.changed("assumed", note, **train)


def _number(fields: Mapping[str, Any], key: str, source: str) -> float:
    try:
        number = float(fields[key])
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ProtocolError(f"{source}: {key} is {fields[key]!r}, not a number in seconds, degrees or tesla.")
    return number


def _sequence_name(values: Mapping[str, float], fields: Mapping[str, Any], role: str) -> str:
    """The sequence family of a role, as the values and the header's own names tell it."""
    stated = str(fields.get("ScanningSequence", "")).upper()
    spin_echo = "SE" in stated
    if role != "t1w":
        if "GR" in stated and not spin_echo:
            cause = f"The header calls this {role} image a gradient echo, whose contrast is T2*."
            raise ProtocolError(f"{cause} Give a spin echo, or the protocol on the command line.")
        return "stir" if role == "t2w" and ("IR" in stated or "TI" in values) else _DEFAULT_SEQUENCE[role]
    if "TI" in values or "IR" in stated or fields.get("RepetitionTimePreparation") is not None:
        return "ir" if spin_echo else "mprage"
    if spin_echo:
        return "se"
    return "spgr" if values.get("TR", 2000.0) < _SHORTEST_MPRAGE_TR else "mprage"


def _fitting_train(sequence: str, values: Mapping[str, float]) -> dict[str, float]:
    """A train length that fits the inversion time, for MPRAGE headers that do not state one."""
    if sequence != "mprage" or "TI" not in values:
        return {}
    spacing = 7.6
    room = 2.0 * min(values["TI"], values.get("TR", 2400.0) - values["TI"]) / spacing
    return {"ESP": spacing, "N": float(max(1, min(176, int(0.95 * room))))}


def _readout_train(sequence: str, values: Mapping[str, float], fields: Mapping[str, Any]) -> dict[str, float]:
    """A usual train length for inversion recoveries, which are read out by one unless the header says that there is a single echo."""
    if sequence not in ("flair", "stir", "ir", "psir") or fields.get("EchoTrainLength") == 1:
        return {}
    room = values.get("TR", 9000.0) - values.get("TI", 0.0)
    return {"L": _USUAL_TRAIN} if room > 1.1 * _USUAL_TRAIN else {}


def default_protocol(role: str) -> Protocol:
    """The protocol assumed when nothing is known about an input; its note is always shown."""
    train = {"L": _USUAL_TRAIN} if role == "flair" else {}
    protocol = Protocol.of(_DEFAULT_SEQUENCE[role], "default", **train)
    return protocol.changed(
        "default", f"Nothing is known about this scan: '{protocol.spec}' is assumed. Give its protocol for trustworthy maps."
    )


def acquisition(name: str, volume: Volume, protocol: Protocol, fields: Mapping[str, Any] | None = None) -> Acquisition:
    """An input ready for the fit: the nominal echo time of a variable-flip train is never taken at its word.

    Such a train is recognised by an echo time above 250 ms or by its name in the sidecar's ``fields``. MP2RAGE's uniform image is
    brought from the scanner's 0 to 4095 to the equation's −0.5 to 0.5. Raises ImageError for a signed image that has lost its sign.
    """
    volume = _with_sign(volume, protocol, name)
    echo_time = protocol.values.get("TE", 0.0)
    names = " ".join(str((fields or {}).get(key, "")) for key in _NAMES)
    named = any(word in names.lower() for word in _VARIABLE_FLIP_NAMES) and (fields or {}).get("MRAcquisitionType") == "3D"
    train = protocol.sequence.name in ("tse", "flair", "stir", "ir", "psir")
    if not train or not (echo_time > LONGEST_BELIEVABLE_ECHO_TIME or (named and echo_time > 150.0)):
        return Acquisition(name, volume, protocol, slice_thickness_mm=_slice_thickness(fields, volume))
    note = (
        f"The echo time of {echo_time:g} ms is the nominal one of a variable-flip train. Its contrast is that of about "
        f"{CONVENTIONAL_ECHO_TIME:g} ms; the effective echo time is fitted around that value."
    )
    effective = protocol.changed(f"variable-flip train, nominal {echo_time:g} ms", note, TE=CONVENTIONAL_ECHO_TIME)
    return Acquisition(name, volume, effective, CONVENTIONAL_ECHO_TIME, slice_thickness_mm=_slice_thickness(fields, volume))


def _slice_thickness(fields: Mapping[str, Any] | None, volume: Volume) -> float | None:
    """The slices' thickness (mm) where the header states one and leaves a gap to the next slice; else they touch, or overlap."""
    try:
        stated = float((fields or {}).get("SliceThickness", math.nan))
    except (TypeError, ValueError):
        return None
    return stated if 0.0 < stated < max(volume.image.GetSpacing()) else None


def _with_sign(volume: Volume, protocol: Protocol, name: str) -> Volume:
    """The volume with the sign that its protocol's images have."""
    if not protocol.sequence.signed or (volume.voxels < 0).mean() > _SIGNED_SHARE:
        return volume
    if protocol.sequence.uses_pd:
        raise ImageError(
            f"{name} has next to no negative voxels, but {protocol.sequence.title.lower()} keeps the sign. "
            "Export the phase-sensitive image with its sign, or give the magnitude image as 'ir'."
        )
    highest = float(np.percentile(volume.voxels, 99.9))
    if not 0.5 * _MP2RAGE_RANGE < highest < 1.01 * _MP2RAGE_RANGE:
        raise ImageError(
            f"{name}: a uniform image runs from −0.5 to 0.5, or from 0 to {_MP2RAGE_RANGE:g}; this one reaches {highest:.4g}. "
            "Export it again in one of these ranges."
        )
    scaled = volume.voxels / np.float32(_MP2RAGE_RANGE) - np.float32(0.5)
    note = f"The uniform image was taken to run from 0 to {_MP2RAGE_RANGE:g} and was scaled to −0.5 to 0.5."
    return replace(volume, image=image_like(scaled, volume.image), notes=(*volume.notes, note))


def sidecar_fields(protocol: Protocol) -> dict[str, Any]:
    """The BIDS fields (seconds, degrees) of a protocol, and the protocol itself for :func:`protocol_from_sidecar`."""
    fields: dict[str, Any] = {key: protocol.values[name] / 1000.0 for key, name in _KEYS.items() if name in protocol.values}
    if "FA" in protocol.values:
        fields["FlipAngle"] = protocol.values["FA"]
    return {**fields, _SPEC_KEY: protocol.spec}


def stated_field_strength(fields: Mapping[str, Any], source: str) -> float | None:
    """Field strength in tesla that a sidecar states, if it does. Raises ProtocolError when that is not a number."""
    return None if fields.get("MagneticFieldStrength") is None else _number(fields, "MagneticFieldStrength", source)
