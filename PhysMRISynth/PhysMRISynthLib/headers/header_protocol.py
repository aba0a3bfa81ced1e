"""From the BIDS-like fields of a header (seconds) to a protocol (ms): stated values, derived values, and assumed ones with the reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..errors import ProtocolError, Remedy
from ..physics.protocol import Protocol, parse_protocol
from ..physics.sequences import sequence_named
from .contradictions import contradictions
from .contrast_agent import AGENT_FIELDS
from .header_values import Values, has_timing, one_of, repetition_times, stated_number, times
from .mprage_timing import mprage_timing
from .sequence_family import NAMES, Family, has_variable_flip_train, sequence_family
from .usual_inversion import usual_inversion_time

SPEC_KEY = "PhysMRISynthProtocol"
"""Field of our simulated images with their whole protocol: BIDS has no field for train lengths."""
USED_FIELDS = (
    *NAMES, SPEC_KEY, "RepetitionTime", "RepetitionTimePreparation", "RepetitionTimeInversion", "RepetitionTimeExcitation", "EchoSpacing",
    "EchoTime", "InversionTime", "FlipAngle", "MagneticFieldStrength", "Modality", "Manufacturer", "MRAcquisitionType", "ScanningSequence",
    "SequenceVariant", "ScanOptions", "NumberShots", "PhaseEncodingStepsOutOfPlane", "ParallelReductionFactorOutOfPlane", "EchoTrainLength",
    *AGENT_FIELDS, "SliceThickness", "ImageType",
)  # fmt: skip
"""All header fields in use; none identifies the patient."""
_DEFAULT_SEQUENCE = {"t1w": "mprage", "t2w": "tse", "flair": "flair"}
_INVERSION_RECOVERIES = ("flair", "stir", "ir", "psir")
_USUAL_TRAIN, _USUAL_ECHO_SPACING = 150.0, 10.0
"""ms: readout of a 2D turbo spin echo (as in the presets), and the time between its echoes."""
_VARIABLE_FLIP_TRAIN = 1000.0
"""ms: of a 3D T2w train of variable flip angles (as in the presets)."""
_TESLA = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:t|tesla)?\s*", re.IGNORECASE)
_GAUSS, _MOST_TESLA = 10_000.0, 100.0
"""Gauss per tesla, since old headers state gauss; and the most tesla of any magnet."""
_ROOM = 1.1
"""An assumed train leaves a tenth of its length free before the next repetition."""


def protocol_from_sidecar(fields: Mapping[str, Any], role: str, source: str) -> Protocol:
    """The protocol that a header's ``fields`` (seconds) describe, for an input of ``role`` t1w, t2w or flair.

    Values that the header lacks are assumed, and their source says why. Notes report contradictions of the header with itself or the
    role, and the conclusions drawn. Raises ProtocolError for non-numeric or impossible values, and for sequences without an equation in
    this role.
    """
    if isinstance(fields.get(SPEC_KEY), str):
        return parse_protocol(fields[SPEC_KEY], source)
    try:
        return _protocol(fields, role, source)
    except ProtocolError as error:
        raise ProtocolError(f"{source}: {error.cause}", *(error.remedies or (Remedy.GIVE_PROTOCOL(form=""),))) from error


def _protocol(fields: Mapping[str, Any], role: str, source: str) -> Protocol:
    family = sequence_family(fields, role)
    notes = contradictions(fields, role)
    if family.told_by is None and not has_timing(fields):
        protocol = default_protocol(role)
        return replace(protocol, notes=(*notes, *protocol.notes))
    values = times(fields, {"EchoTime": "TE", "InversionTime": "TI"}, source)
    if "TI" in values and values["TI"][0] == 0.0:  # some converters write 0 for "none"
        del values["TI"]
    flip_angle = stated_number(fields, "FlipAngle")
    if flip_angle is not None:
        values["FA"] = flip_angle, source
    values.update(_usual_inversion(family.sequence, role, values, fields, source))
    if family.sequence == "mprage":
        timing, told = mprage_timing(fields, values, source)
    else:
        timing, told = _repetition(fields, family.sequence, source)
        timing.update(_readout_train(family.sequence, {**values, **timing}, fields))
    protocol = _complete(family.sequence, {**timing, **values}, source)
    return replace(protocol, notes=(*notes, *_concluded(family), *told))


def _usual_inversion(sequence: str, role: str, values: Values, fields: Mapping[str, Any], source: str) -> Values:
    """The usual inversion time if the header states none, but a repetition and echo time for which it is known."""
    long, _short = repetition_times(fields, source)
    if "TI" in values or "TE" not in values or not long or sequence not in ("mprage", "flair"):
        return {}
    usual = usual_inversion_time(role, next(iter(long.values()))[0], values["TE"][0])
    return {} if usual is None else {"TI": usual}


def _complete(name: str, values: Values, source: str) -> Protocol:
    """The protocol of those values that the sequence has, and defaults for the others."""
    allowed = {parameter.name for parameter in sequence_named(name).parameters}
    protocol = Protocol.of(name, source, **{key: value for key, (value, _) in values.items() if key in allowed})
    return replace(protocol, sources={**protocol.sources, **{key: told for key, (_, told) in values.items() if key in allowed}})


def _repetition(fields: Mapping[str, Any], sequence: str, source: str) -> tuple[Values, tuple[str, ...]]:
    """TR of sequences without a pulse train; for gradient echoes the pulse-to-pulse time, if stated."""
    long, short = repetition_times(fields, source)
    gradient = sequence in ("spgr", "bssfp")
    chosen, notes = one_of((short or long) if gradient else (long or short), "repetition times")
    return ({"TR": chosen} if chosen else {}), notes


def _readout_train(sequence: str, values: Values, fields: Mapping[str, Any]) -> Values:
    """The length L of the readout of turbo spin echoes and inversion recoveries, which headers do not state, from the number of echoes."""
    if sequence != "tse" and sequence not in _INVERSION_RECOVERIES:
        return {}
    echoes = stated_number(fields, "EchoTrainLength")
    echo_time = values["TE"][0] if "TE" in values else 0.0
    if has_variable_flip_train(fields, echo_time):
        if sequence != "tse":
            return {"L": (0.0, "assumed: a variable-flip train keeps part of the longitudinal magnetisation")}
        length, reason = _VARIABLE_FLIP_TRAIN, "usual of variable-flip trains"
    elif echoes is not None and echoes > 1.0:
        length, reason = _USUAL_ECHO_SPACING * echoes, f"{echoes:g} echoes, usually {_USUAL_ECHO_SPACING:g} ms apart"
    elif echoes == 1.0:
        return {"L": (0.0, "assumed: a single echo")} if sequence == "tse" else {}
    else:
        length, reason = _USUAL_TRAIN, "usual train; the header states no number of echoes"
    repetition = values["TR"][0] if "TR" in values else (sequence_named(sequence).parameter("TR").default or 0.0)
    inversion = (
        values["TI"][0] if "TI" in values else (0.0 if sequence == "tse" else sequence_named(sequence).parameter("TI").default or 0.0)
    )
    return {"L": (max(0.0, min(length, (repetition - inversion) / _ROOM)), f"assumed: {reason}")}


def _concluded(family: Family) -> tuple[str, ...]:
    """A note if no name in the header gives the sequence and it was inferred from the timing."""
    if family.sequence == "spgr" and (family.told_by is None or family.told_by.startswith("ScanningSequence")):
        return (
            "TR is short and no inversion time is stated: a gradient echo without inversion (spgr) is assumed. "
            "Give the protocol if it had one.",
        )
    if family.sequence != "se" or family.told_by is not None:
        return ()
    return ("TE is long for a gradient echo: a spin echo (se) is assumed. Give the protocol if it was another sequence.",)


def default_protocol(role: str) -> Protocol:
    """The protocol assumed when nothing is known about an input; its note is always shown."""
    train = {"L": _USUAL_TRAIN} if role == "flair" else {}
    protocol = Protocol.of(_DEFAULT_SEQUENCE[role], "default", **train)
    return protocol.changed(
        "default", f"Nothing is known about this scan: '{protocol.spec}' is assumed. Give its protocol for trustworthy maps."
    )


def stated_field_strength(fields: Mapping[str, Any], source: str) -> float | None:
    """Field strength in tesla that a header states, also as "3 T" or in gauss; None if not. Raises ProtocolError for a non-number."""
    stated = fields.get("MagneticFieldStrength")
    text = _TESLA.fullmatch(stated) if isinstance(stated, str) else None
    try:
        value = float(text[1]) if text else stated_number(fields, "MagneticFieldStrength")
    except ProtocolError as error:
        raise ProtocolError(f"{source}: {error}", Remedy.DO(this="correct it"), Remedy.GIVE_FIELD_STRENGTH) from error
    return value / _GAUSS if value is not None and value > _MOST_TESLA else value
