"""The protocol and the role of a volume node: typed, of our own rendering, from DICOM, from a BIDS sidecar, or assumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ImageError, ProtocolError
from ..headers.contradictions import contradictions, disagreements
from ..headers.contrast_agent import check_contrast_agent, contrast_agent
from ..headers.header_protocol import USED_FIELDS, default_protocol, protocol_from_sidecar, stated_field_strength
from ..headers.header_values import has_timing, series_names
from ..headers.roles import ROLES, excludes_every_role, needs_timing, role_of_series, role_of_timing
from ..imaging.intake.acquisition import Acquisition, acquisition
from ..imaging.intake.sidecar import fields_beside
from ..physics.presets import echo_time_is_estimated, protocol_from_spec
from ..physics.protocol import Protocol, parse_protocol
from .dicom import dicomFields
from .sampleScans import sampleFields
from .volumes import checkIsImage, titleOf, volumeFromNode

PROTOCOL = "PhysMRISynth.Protocol"
"""Attribute of our own renderings: the protocol's spec."""
HEADER = "PhysMRISynth.Header"
"""Attribute of scans: what a sidecar told, as JSON, since the file does not come along when a scene is saved."""
_DICOM = "DICOM"
QUANTITY = "PhysMRISynth.Quantity"
"""Attribute of everything that is derived from scans ("PD", "T1_sd", "rendering" …)."""


@dataclass(frozen=True)
class InputProtocol:
    """A protocol, whose ``sources`` tell where each value came from, and the BIDS-like header ``fields`` (seconds) of the image."""

    protocol: Protocol
    fields: Mapping[str, Any] | None


def inputProtocol(node: Any, role: str, typed: str | None = None) -> InputProtocol:
    """The protocol of an input of ``role`` t1w, t2w or flair.

    What the user ``typed`` (a preset or a spec; ms) goes first; then our own rendering's attribute, DICOM, the sidecar beside the file,
    and a default that says so. Raises ProtocolError, with the node's name, for values that cannot be.
    """
    rendered = node.GetAttribute(PROTOCOL)
    try:
        fields, source = _headerFields(node)
        if typed and typed.strip():
            protocol = protocol_from_spec(typed, "typed")
            protocol = replace(protocol, notes=(*protocol.notes, *contradictions(fields or {}, role)))
        elif rendered:
            protocol = parse_protocol(rendered, "rendering")
        elif fields is not None:
            protocol = protocol_from_sidecar(fields, role, source)
            protocol = replace(protocol, notes=(*_disagreements(node, fields, source), *protocol.notes))
        else:
            protocol = default_protocol(role)
    except ProtocolError as error:
        raise ProtocolError(f"{titleOf(node)}: {error.cause}", *error.remedies) from error
    return InputProtocol(protocol, fields)


def checkIsScan(node: Any) -> None:
    """Raise ImageError for our own maps, SDs and fits: they look like images, and maps of maps would look like maps.

    Renderings pass: their protocol is known.
    """
    if node.GetAttribute(QUANTITY) not in (None, "rendering"):
        raise ImageError(f"{titleOf(node)} is a computed image, not a scan. Select the scan itself.")


def acquisitionFromNode(node: Any, role: str, typed: str | None = None, allowContrastAgent: bool = False) -> Acquisition:
    """A node as an input for the estimate: voxels in the world, protocol, field strength, and what to do about nominal echo times.

    Raises ImageError for what cannot be used: no image of a head, one of our own maps, or a T1w image after a contrast agent
    unless that is allowed; ProtocolError for its protocol.
    """
    checkIsScan(node)
    volume = volumeFromNode(node)
    found = inputProtocol(node, role, typed)
    note = _contrastAgentNote(node, role, found.fields, allowContrastAgent)
    protocol = replace(found.protocol, notes=(note, *found.protocol.notes)) if note else found.protocol
    made = acquisition(role, volume, protocol, found.fields)
    if typed and echo_time_is_estimated(typed):
        made = replace(made, conventional_echo_time=found.protocol.values["TE"])
    return replace(made, field_strength=stated_field_strength(found.fields, titleOf(node))) if found.fields else made


def _contrastAgentNote(node: Any, role: str, fields: Mapping[str, Any] | None, allowed: bool) -> str | None:
    return check_contrast_agent(titleOf(node), role, contrast_agent(fields, _fileName(node)), allowed)


def roleOf(node: Any) -> str | None:
    """``t1w``, ``t2w`` or ``flair`` as the DICOM header or else the name tells it; None for anything else, such as maps and renderings."""
    if node.GetAttribute(QUANTITY):
        return None
    fields: Mapping[str, Any] = dicomFields(node) or {}
    stated = series_names(fields)
    name = node.GetName() or ""
    if contrast_agent(fields, _fileName(node)) or any(excludes_every_role(text) for text in (*stated, name)):
        return None
    if any(needs_timing(text) for text in (*stated, name)):
        fields = _knownFields(node)
    told = (*(role_of_series(text, fields) for text in stated), role_of_timing(fields), role_of_series(name, fields))
    return next((role for role in told if role), None)


def defaultInputs(scene: Any) -> dict[str, Any]:
    """The best node of each role that the scene has: of several, the one with a known protocol, then with the finest slices."""
    candidates: dict[str, list[Any]] = {role: [] for role in ROLES}
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")):
        node = scene.GetNthNodeByClass(index, "vtkMRMLScalarVolumeNode")
        role = roleOf(node) if _isOffered(node) else None
        if role:
            candidates[role].append(node)
    return {role: min(nodes, key=_lastChoice) for role, nodes in candidates.items() if nodes}


def _isOffered(node: Any) -> bool:
    try:
        checkIsImage(node)
    except ImageError:
        return False
    return not node.GetHideFromEditors()


def _lastChoice(node: Any) -> tuple[bool, float]:
    """Smaller is better."""
    known = has_timing(_knownFields(node)) or bool(node.GetAttribute(PROTOCOL))
    return not known, round(max(node.GetSpacing()), 2)


def _knownFields(node: Any) -> Mapping[str, Any]:
    try:
        return _headerFields(node)[0] or {}
    except ProtocolError:  # a damaged sidecar is told when the node is used
        return {}


def _headerFields(node: Any) -> tuple[Mapping[str, Any] | None, str]:
    """The fields of the node's DICOM header, else of the sidecar or table beside its file, and the name of their source.

    A DICOM header without timing (anonymised, or converted) gives way to a sidecar; one that is not there any more counts as it was read.
    """
    fields = dicomFields(node)
    if has_timing(fields):
        return fields, _DICOM
    beside = fields_beside(_file(node)) or sampleFields(node)
    if beside is not None:
        keepHeader(node, *beside)
    kept = _kept(node)
    return ({**(fields or {}), **kept["fields"]}, kept["source"]) if kept else (fields, _DICOM)


def _disagreements(node: Any, fields: Mapping[str, Any], source: str) -> tuple[str, ...]:
    """Notes where a DICOM header, which goes first, and the sidecar beside the file state different values."""
    beside = fields_beside(_file(node)) if source == _DICOM else None
    return disagreements(fields, "the DICOM header", *beside) if beside else ()


def _file(node: Any) -> Path | None:
    storage = node.GetStorageNode()
    name = storage.GetFullNameFromFileName() if storage else None
    return Path(name) if name else None


def _fileName(node: Any) -> str:
    file = _file(node)
    return file.name if file else node.GetName() or ""


def keepHeader(node: Any, fields: Mapping[str, Any], source: str) -> None:
    """Remember what is used of the header ``fields`` that a ``source`` states; names and dates stay out of the scene."""
    used = {name: fields[name] for name in USED_FIELDS if name in fields}
    text = json.dumps({"source": source, "fields": used}, ensure_ascii=False)
    if node.GetAttribute(HEADER) != text:
        node.SetAttribute(HEADER, text)


def _kept(node: Any) -> dict[str, Any] | None:
    try:
        kept = json.loads(node.GetAttribute(HEADER) or "null")
    except ValueError:
        return None
    sound = isinstance(kept, dict) and isinstance(kept.get("fields"), dict) and isinstance(kept.get("source"), str)
    return kept if sound else None
