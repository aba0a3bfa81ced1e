"""The weights of this version and their hashes; needs neither torch nor the weights themselves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import Remedy, Step, WeightsError
from ..resource_files import RESOURCES
from ..whole_file import whole_file

MANIFEST = RESOURCES / "weights.json"
REINSTALL = (Remedy.REINSTALL, Remedy.USE_LITERATURE_PRIOR)
_MISSING = {
    "vae": "No network weights are installed. Reinstall the extension.",
    "sampler": "No weights for sampling are installed. Reinstall the extension, or give a sampling model that 'physmrisynth train ldm' "
    "has trained.",
    "expander": "The second-stage decoder of the sampling model is not installed. Reinstall the extension.",
}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checked_file(path: Path, sha256: str | None, remedies: Sequence[Remedy | Step]) -> str:
    """The SHA-256 of a file of weights, which must be ``sha256`` if given. Raises WeightsError with the ``remedies`` when it is not, or
    when there is no such file."""
    if not path.is_file():
        raise WeightsError(f"There are no network weights at {path}.", *remedies)
    found = file_sha256(path)
    if sha256 is not None and found != sha256:
        raise WeightsError(f"The network weights {path.name} are not the shipped ones (SHA-256 {found[:12]}…).", *remedies)
    return found


def shipped_weights(kind: str = "vae") -> tuple[Path, str] | None:
    """File and SHA-256 of the weights of a ``kind`` ("vae", "sampler", "expander") that come with this version, or None without any.

    Raises WeightsError when the manifest cannot be understood.
    """
    if not MANIFEST.exists():
        return None
    try:
        entries = json.loads(MANIFEST.read_text(encoding="utf-8"))
        if kind != "vae" and kind not in entries:  # optional, except for the network itself
            return None
        entry = entries[kind]
        name, sha256 = entry["file"], entry["sha256"]
        if name != Path(name).name or len(bytes.fromhex(sha256)) != hashlib.sha256().digest_size:
            raise ValueError("not a file's name and its SHA-256")
    except (OSError, ValueError, LookupError, TypeError) as error:
        cause = f"The manifest of the network weights, {MANIFEST.name}, is damaged ({error!r})."
        raise WeightsError(cause, *REINSTALL) from None
    return MANIFEST.parent / name, sha256


def present_weights(kind: str = "vae") -> tuple[Path, str] | None:
    """As :func:`shipped_weights`, if the file exists; None also if the manifest is damaged, which is reported on loading."""
    try:
        found = shipped_weights(kind)
    except WeightsError:
        return None
    return found if found is not None and found[0].is_file() else None


def installed_weights(kind: str) -> tuple[Path, str]:
    """As :func:`shipped_weights`, but raises WeightsError with the reason and what to do also when there are none."""
    found = shipped_weights(kind)
    if found is None:
        raise WeightsError(_MISSING[kind])
    return found


def write_manifest(path: Path, manifest: Path, kind: str = "vae") -> None:
    """Write into ``manifest`` that the weights of a ``kind`` are the file ``path``, beside it, with its hash and size; weights of other
    kinds stay listed, and so do further entries on the same file."""
    entry = {"file": path.name, "sha256": file_sha256(path), "bytes": path.stat().st_size}
    others: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else {}
    if others.get(kind, {}).get("sha256") == entry["sha256"]:
        entry = {**others[kind], **entry}
    with whole_file(manifest) as temporary:
        temporary.write_text(json.dumps({**others, kind: entry}, indent=2) + "\n", encoding="utf-8")
