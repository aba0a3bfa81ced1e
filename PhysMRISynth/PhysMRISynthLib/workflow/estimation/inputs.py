"""From files and what the user said about them to acquisitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import EstimationError, ProtocolError, Remedy
from ...headers.contradictions import contradictions, disagreements
from ...headers.contrast_agent import check_contrast_agent, contrast_agent
from ...headers.dicom_header import dicom_fields, is_dicom
from ...headers.header_protocol import default_protocol, protocol_from_sidecar, stated_field_strength
from ...imaging.intake.acquisition import Acquisition, acquisition
from ...imaging.intake.dicom_series import read_scan
from ...imaging.intake.sidecar import fields_beside
from ...imaging.intake.volumes import Volume
from ...physics.presets import echo_time_is_estimated, protocol_from_spec
from ...physics.protocol import Protocol
from .order import USUAL, EstimateOrder

_READERS = 2


@dataclass(frozen=True)
class Header:
    """BIDS-like ``fields`` (seconds) of an image, the ``source`` that states them, and ``notes`` where another source disagrees."""

    fields: dict[str, Any]
    source: str
    notes: tuple[str, ...] = ()


def read_acquisitions(files: Mapping[str, Path | None], order: EstimateOrder = USUAL) -> list[Acquisition]:
    """Read the inputs by role (t1w, t2w, flair); each protocol is the ``order``'s, else that of a header, else a default. Where the order
    gives the field strength, what headers say of it does not matter.

    Raises EstimationError when there is no input, or a protocol without an image; ImageError and ProtocolError as
    :func:`read_acquisition`.
    """
    given = {role: path for role, path in files.items() if path is not None}
    if not given:
        raise EstimationError("No input: give at least one of T1w, T2w and FLAIR.")
    for role in order.protocols:
        if role not in given:
            raise EstimationError(f"A protocol is given for {role}, but no image. Give the image too, or leave the protocol out.")
    with ThreadPoolExecutor(_READERS) as pool:  # decompression leaves the interpreter free
        return list(pool.map(lambda role: read_acquisition(role, given[role], order.protocols.get(role), order), given))


def read_acquisition(role: str, path: Path, spec: str | None = None, order: EstimateOrder = USUAL) -> Acquisition:
    """Read one input of a ``role`` (a volume, a DICOM image of a series or its folder) with its protocol: that of ``spec``, else of its
    header, else a default. The ``order`` gives the field strength and permits a contrast agent.

    Raises ImageError for what cannot be used, such as a T1w image after a contrast agent unless that is allowed; ProtocolError for
    its protocol.
    """
    path = Path(path)
    volume = read_scan(path)
    header, unread = _readable_header(path, volume, spec)
    protocol = _protocol(role, header, spec)
    fields = header.fields if header else {}
    note = check_contrast_agent(path.name, role, contrast_agent(fields, path.name), order.allow_contrast_agent)
    notes = (*unread, *((note,) if note else ()), *(header.notes if header else ()))
    read = acquisition(role, volume, replace(protocol, notes=(*notes, *protocol.notes)), fields)
    if spec is not None and echo_time_is_estimated(spec):
        read = replace(read, conventional_echo_time=protocol.values["TE"])
    if header is None or order.field_strength is not None:
        return replace(read, field_strength=order.field_strength)
    return replace(read, field_strength=stated_field_strength(fields, header.source))


def _readable_header(path: Path, volume: Volume, spec: str | None) -> tuple[Header | None, tuple[str, ...]]:
    """The header, or, where it is damaged and the protocol is given, none and a note."""
    try:
        return read_header(path, volume.path), ()
    except ProtocolError as error:
        if spec is None:
            raise
        return None, (f"What stands beside the image could not be read; the given protocol counts. ({error})",)


def read_header(path: Path, first: Path | None = None) -> Header | None:
    """What is stated about an image: by the JSON sidecar beside it, else by a table of its data set, else by its own DICOM header.

    Of a folder with a DICOM series, that of the series' ``first`` image. Raises ProtocolError where that cannot be read, ImageError for
    DICOM.
    """
    file = first if path.is_dir() else path
    own = dicom_fields(file) if file is not None and is_dicom(file) else None
    beside = fields_beside(path)
    if beside is not None:
        return Header(*beside, disagreements(*beside, own, "its DICOM header") if own else ())
    return Header(own, "DICOM") if own is not None else None


def _protocol(role: str, header: Header | None, spec: str | None) -> Protocol:
    if spec is not None:
        typed = protocol_from_spec(spec)
        return replace(typed, notes=(*typed.notes, *contradictions(header.fields, role))) if header else typed
    return protocol_from_sidecar(header.fields, role, header.source) if header else default_protocol(role)


def field_strength_of(acquisitions: Sequence[Acquisition], given: float | None) -> tuple[float, str]:
    """Field strength in tesla and where it came from: what the user ``given``, else the headers, else 3 T.

    Raises EstimationError when the headers disagree.
    """
    if given is not None:
        return given, "command line"
    stated = {round(tesla, 1 if tesla >= 1.0 else 3) for a in acquisitions if (tesla := a.field_strength) is not None}
    if len(stated) > 1:
        raise EstimationError(
            f"The headers state different field strengths ({', '.join(map(str, sorted(stated)))} T).", Remedy.GIVE_FIELD_STRENGTH
        )
    return (stated.pop(), "header") if stated else (3.0, "assumed")
