"""From files and what the user said about them to acquisitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import EstimationError
from ..imaging.acquisition import Acquisition
from ..imaging.sidecar import acquisition, default_protocol, protocol_from_sidecar, read_sidecar, sidecar_of, stated_field_strength
from ..imaging.volumes import read_volume
from ..physics.presets import echo_time_is_estimated, protocol_from_spec


def read_acquisitions(files: Mapping[str, Path | None], specs: Mapping[str, str | None]) -> list[Acquisition]:
    """Read the inputs by role (t1w, t2w, flair); each protocol comes from its ``specs`` text, else a sidecar, else a default.

    Raises EstimationError when there is no input, or a protocol without an image.
    """
    given = {role: path for role, path in files.items() if path is not None}
    if not given:
        raise EstimationError("No input: give at least one of --t1w, --t2w and --flair.")
    for role, spec in specs.items():
        if spec is not None and role not in given:
            raise EstimationError(f"--{role}-protocol is given without --{role}. Give the image too, or leave the protocol out.")
    return [read_acquisition(role, path, specs.get(role)) for role, path in given.items()]


def read_acquisition(role: str, path: Path, spec: str | None = None) -> Acquisition:
    """Read one input of a ``role`` with its protocol."""
    volume = read_volume(path)
    sidecar = sidecar_of(Path(path))
    fields = read_sidecar(sidecar) if sidecar else None
    if spec is not None:
        protocol = protocol_from_spec(spec)
    elif sidecar is not None and fields is not None:
        protocol = protocol_from_sidecar(fields, role, f"sidecar {sidecar.name}")
    else:
        protocol = default_protocol(role)
    read = acquisition(role, volume, protocol, fields)
    if spec is not None and echo_time_is_estimated(spec):
        read = replace(read, conventional_echo_time=protocol.values["TE"])
    return replace(read, field_strength=stated_field_strength(fields, str(sidecar))) if fields else read


def field_strength_of(acquisitions: Sequence[Acquisition], given: float | None) -> tuple[float, str]:
    """Field strength in tesla and where it came from: what the user ``given``, else the headers, else 3 T.

    Raises EstimationError when the headers disagree.
    """
    if given is not None:
        return given, "command line"
    stated = {round(a.field_strength, 1) for a in acquisitions if a.field_strength is not None}
    if len(stated) > 1:
        raise EstimationError(
            f"The sidecars state different field strengths ({', '.join(map(str, sorted(stated)))} T). Give --field-strength."
        )
    return (stated.pop(), "sidecar") if stated else (3.0, "assumed: give --field-strength if it is another")
