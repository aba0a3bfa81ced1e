"""The sequence family of a header: by the vendor's name of the sequence, DICOM's codes, the words of the series and the timing.

The names are those of the vendors' conformance statements and of their lists of acronyms.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ProtocolError, Remedy
from .header_values import SERIES_NAMES, SHORTEST_INVERSION_PERIOD, number_of, text_of

LONGEST_BELIEVABLE_ECHO_TIME = 250.0
"""ms: a longer echo time of a spin echo is the nominal one of a variable-flip train."""
_LONGEST_FLASH_REPETITION = 1.0
"""s: a T1w gradient echo with a longer repetition time has a preparation."""
_LONGEST_GRADIENT_ECHO = 0.008
"""s: an unnamed T1w image with a longer echo time is a spin echo."""
_INVERSIONS = {"stir": 0.3, "ir": 1.5, "flair": math.inf}
"""The longest inversion time (s) of each name."""
_SEQUENCE_NAMES = ("SequenceName", "PulseSequenceName", "InternalPulseSequenceName", "PulseSequenceDetails", "PulseSequenceType")
_CODE_FIELD = "ScanningSequence"
NAMES = (*_SEQUENCE_NAMES, *SERIES_NAMES)
"""Fields that name a sequence."""
_SPIN_ECHOES = ("se", "tse", "space")
_GRADIENT_ECHOES = ("gradient", "spgr", "tfe", "mprage", "bssfp")


def words(alternatives: str) -> re.Pattern[str]:
    """A pattern for whole words of :func:`plain` text, in which a hyphen stands for a space or nothing."""
    return re.compile(rf"(?<![a-z0-9])(?:{alternatives.replace('-', ' ?')})(?![a-z0-9])")


_NEW_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[0-9])(?=[A-Z][a-z])")


def plain(name: str, without: re.Pattern[str] | None = None) -> str:
    """Lower-case words separated by single spaces, without those matching ``without``; camel case is split."""
    lower = _NEW_WORD.sub(" ", name).lower().replace("_", " ")
    return re.sub(r"[^a-z0-9+*]+", " ", without.sub(" ", lower) if without else lower)


@dataclass(frozen=True)
class Kind:
    """Information in a name: ``readout`` (gradient, spgr, tfe, mprage, bssfp, epi, se, tse, space) and ``inverted``, if known.

    A ``tfe`` is a gradient echo in pulse trains, with or without a preceding inversion.
    ``other`` is a sequence whose protocol no header states completely (mp2rage, psir, dir).
    """

    readout: str | None = None
    inverted: bool = False
    other: str | None = None


_MPRAGE, _SPACE, _TIR = Kind("mprage", True), Kind("space"), Kind("tse", True)
_CODES: dict[str, tuple[tuple[str, Kind], ...]] = {
    "siemens": (  # *tfl3d1_16ns, *spcir_242ns, *tir2d1_16, %SiemensSeq%\tse_vfl
        (r"mp2rage", Kind(other="mp2rage")),
        (r"(?:^|[*\\])ep|ep2d|epfid", Kind("epi")),
        (r"(?:^|[*\\])tfl", _MPRAGE),
        (r"(?:^|[*\\])spc[a-z]*ir", Kind("space", True)),
        (r"(?:^|[*\\])spc|tse_vfl", _SPACE),
        (r"(?:^|[*\\])tir", _TIR),
        (r"(?:^|[*\\])(?:tse|h[a-z]?\dd|haste|blade)", Kind("tse")),
        (r"(?:^|[*\\])(?:tfi|ci3d|trufi)", Kind("bssfp")),
        (r"(?:^|[*\\])(?:fl(?![a-z]{2})|gre)", Kind("spgr")),
        (r"(?:^|[*\\])se(?![a-z]{2})", Kind("se")),
    ),
    "ge": (  # efgre3d, fsexl, frfsexl, memp
        (r"(?:^|\\)epi", Kind("epi")),
        (r"bravo|mprage", _MPRAGE),
        (r"fiesta|ssfp", Kind("bssfp")),
        (r"flair|fse-?ir", _TIR),
        (r"fse", Kind("tse")),
        (r"fgre|spgr|3dgrass|lava", Kind("spgr")),
        (r"memp|sepl|(?:^|\\)se(?![a-z])", Kind("se")),
    ),
    "philips": (  # T1TFE, T1FFE, TSE, TIR, SE
        (r"epi", Kind("epi")),
        (r"b-?(?:ffe|tfe)", Kind("bssfp")),
        (r"tfe", Kind("tfe")),
        (r"ffe", Kind("spgr")),
        (r"tir", _TIR),
        (r"tse|grase", Kind("tse")),
        (r"^ir", Kind("se", True)),
        (r"^se", Kind("se")),
    ),
    "canon": (  # FE3D, FFE3D_IR, FSE, FASE3D
        (r"epi", Kind("epi")),
        (r"fe\w*[_-]?ir|mprage", _MPRAGE),
        (r"ssfp", Kind("bssfp")),
        (r"(?:fse|fase)\w*[_-]?ir|flair", _TIR),
        (r"fse|fase", Kind("tse")),
        (r"^f?fe|fastfe", Kind("spgr")),
        (r"^ir", Kind("se", True)),
        (r"^se", Kind("se")),
    ),
}
"""The vendors' sequence names; the first match in a list counts."""
_VENDORS = {"siemens": "siemens", "ge": "ge", "general electric": "ge", "philips": "philips", "canon": "canon", "toshiba": "canon"}
_WORDS = tuple(
    (words(pattern), kind, role)
    for pattern, kind, role in (
        ("mp2-?rage", Kind(other="mp2rage"), None),
        ("psir", Kind(other="psir"), None),
        ("dir", Kind(other="dir"), None),
        ("epi|ep2d", Kind("epi"), None),
        ("(?:3d)?-(?:mp-rage|mpr|bravo|ir-f?spgr)|tfl(?:3d)?", _MPRAGE, "t1w"),
        ("spc-?ir", Kind("space", True), None),
        ("(?:3d)?-(?:space|spc|cube|vista|brain-view|mvox|mpv|iso-fse)|tse-vfl", _SPACE, "t2w"),
        ("fiesta|ciss|true?-fisp|b-ffe|bssfp", Kind("bssfp"), None),
        ("f?spgr", Kind("spgr"), "t1w"),
        ("(?:3d)?-(?:t1w?)?-tfe", Kind("tfe"), None),
        ("flash|(?:3d)?-(?:t1w?)?-ffe|vibe", Kind("spgr"), None),
        ("tirm", _TIR, None),
        ("tse|fse|frfse|fase|blade|propeller|multivane|jet|haste", Kind("tse"), "t2w"),
        ("t[12]w?-?(?:tse|fse)", Kind("tse"), None),
        ("(?:t1w?)?-se", Kind("se"), None),
    )
)
"""Words in series names, whatever the vendor; and the role that the word implies if nothing else does."""
_INVERTED = words("(?:t[12]w?)?-(?:flair|dark-fluid)|tirm|stir|da-fl|ir")
_INVERSION_NAMES = ((words("(?:t2w?)?-stir"), "stir"), (words("(?:t2w?)?-(?:flair|dark-fluid|da-fl)"), "flair"))


@dataclass(frozen=True)
class Family:
    """The ``sequence`` whose equation describes an image, and ``told_by`` which field that is known; None: by its timing."""

    sequence: str
    told_by: str | None = None


def sequence_family(fields: Mapping[str, Any], role: str) -> Family:
    """The family of an input of ``role`` t1w, t2w or flair from BIDS-like ``fields`` (seconds).

    Raises ProtocolError for sequences without an equation in their role: echo planar imaging, gradient echoes as T2w or FLAIR; for
    those (MP2RAGE, PSIR, DIR) whose protocol headers do not state completely; and if a missing value makes the family ambiguous.
    """
    kind, told_by = _kind(fields)
    if kind.other:
        raise ProtocolError(
            f"{told_by} names {kind.other.upper()}, whose protocol headers do not state.", Remedy.GIVE_PROTOCOL(form=f" ({kind.other},…)")
        )
    if kind.readout == "epi":
        raise ProtocolError(f"{told_by} names echo planar imaging, which is not supported. Give a T1w, T2w or FLAIR image.")
    if role == "t1w":
        if kind.readout == "tfe" and not kind.inverted:
            raise ProtocolError(
                f"{told_by} names a turbo field echo, but not whether an inversion precedes it.",
                Remedy.GIVE_PROTOCOL(form=": mprage,… with an inversion, spgr,… without"),
            )
        return Family(_t1w_sequence(kind, fields), told_by)
    if kind.readout in _GRADIENT_ECHOES:
        raise ProtocolError(
            f"By {told_by} this {role} image is a gradient echo, whose contrast is T2*.",
            Remedy.DO(this="give a spin echo"),
            Remedy.GIVE_PROTOCOL(form=""),
        )
    if role == "flair":
        return Family("flair", told_by)
    if kind.inverted:
        return Family(_inversion_recovery(fields) or _named_inversion_recovery(fields), told_by)
    return Family("se" if kind.readout == "se" and number_of(fields, "EchoTrainLength") == 1 else "tse", told_by)


def is_variable_flip(fields: Mapping[str, Any]) -> bool:
    """Whether a 3-D turbo spin echo has a train of variable flip angles (SPACE, CUBE, VISTA, MPV), by its name."""
    return text_of(fields, "MRAcquisitionType").upper() == "3D" and any(kind.readout == "space" for kind, _ in _named(fields))


def has_variable_flip_train(fields: Mapping[str, Any], echo_time: float) -> bool:
    """Whether a spin echo with an ``echo_time`` (ms) has a train of variable flip angles, by its name or its long echo time."""
    return echo_time > LONGEST_BELIEVABLE_ECHO_TIME or is_variable_flip(fields)


def is_inverted(fields: Mapping[str, Any]) -> bool:
    """Whether the header indicates an inversion: by its time, its codes or its names."""
    return _kind(fields)[0].inverted


def role_of_sequence(name: str) -> str | None:
    """The role (t1w, t2w) of a series whose :func:`plain` name is only that of a sequence, if the sequence implies one."""
    roles = [role for pattern, _, role in _WORDS if role and pattern.search(name)]
    return min(roles, default=None)


def _t1w_sequence(kind: Kind, fields: Mapping[str, Any]) -> str:
    if kind.readout in _SPIN_ECHOES:
        if kind.inverted:
            return _inversion_recovery(fields) or "ir"
        several = (number_of(fields, "EchoTrainLength") or 1.0) > 1.0 or kind.readout != "se"
        return "tse" if several else "se"
    if kind.inverted:
        return "mprage"
    if kind.readout in ("bssfp", "spgr"):
        return kind.readout
    if 1000.0 * (number_of(fields, "RepetitionTime") or math.inf) < SHORTEST_INVERSION_PERIOD:
        return "spgr"
    return "se" if kind.readout is None and (number_of(fields, "EchoTime") or 0.0) > _LONGEST_GRADIENT_ECHO else "mprage"


def _inversion_recovery(fields: Mapping[str, Any]) -> str | None:
    """The kind of inversion recovery of spin echoes, by the inversion time; None if none is stated."""
    inversion = number_of(fields, "InversionTime")
    return next(name for name, longest in _INVERSIONS.items() if inversion <= longest) if inversion else None


def _named_inversion_recovery(fields: Mapping[str, Any]) -> str:
    """STIR or FLAIR by the names in the header. Raises ProtocolError if none decides."""
    for pattern, sequence in _INVERSION_NAMES:
        if any(pattern.search(plain(text_of(fields, name))) for name in NAMES):
            return sequence
    raise ProtocolError(
        "the header states an inversion, but not its time, which alone separates STIR from FLAIR.",
        Remedy.GIVE_PROTOCOL(form=": stir,… or flair,…"),
    )


def _kind(fields: Mapping[str, Any]) -> tuple[Kind, str | None]:
    """The kind by the header, and the field that gives it: the name of the sequence first, then DICOM's codes, then the series' name."""
    named = list(_named(fields))
    other = next(((Kind(other=kind.other), told_by) for kind, told_by in named if kind.other), None)
    if other is not None:
        return other
    codes = set(re.findall("[A-Z]+", text_of(fields, _CODE_FIELD).upper()))
    readout, told_by = _readout(named, codes)
    inverted = (
        bool(number_of(fields, "InversionTime"))
        or "IR" in codes
        or re.search(r"IRP?_GEMS", text_of(fields, "ScanOptions").upper()) is not None
        or any(kind.inverted and (kind.readout == readout or (kind == _MPRAGE and readout in _GRADIENT_ECHOES)) for kind, _ in named)
        or (_inverted_spin_echo(fields) if readout in _SPIN_ECHOES else _prepared_gradient_echo(fields, readout))
    )
    return Kind(readout, inverted), told_by


def _inverted_spin_echo(fields: Mapping[str, Any]) -> bool:
    return any(_INVERTED.search(plain(text_of(fields, name))) for name in NAMES)


def _prepared_gradient_echo(fields: Mapping[str, Any], readout: str | None) -> bool:
    """By the code of a magnetisation preparation, which Philips writes, a time between preparations, or a TR longer than any FLASH's."""
    coded = "MP" in re.findall("[A-Z]+", text_of(fields, "SequenceVariant").upper())
    stated = any(number_of(fields, name) is not None for name in ("RepetitionTimePreparation", "RepetitionTimeInversion"))
    slow = (number_of(fields, "RepetitionTime") or 0.0) >= _LONGEST_FLASH_REPETITION
    return stated or (readout in ("spgr", "tfe") and (coded or slow))


def _readout(named: list[tuple[Kind, str]], codes: set[str]) -> tuple[str | None, str | None]:
    """The readout by the sequence's name, unless DICOM's codes contradict it."""
    kinds = {"EP": ("epi",), "SE": _SPIN_ECHOES, "GR": _GRADIENT_ECHOES}
    code = next((code for code in kinds if code in codes), None)
    possible = kinds[code] if code else ("epi", *_SPIN_ECHOES, *_GRADIENT_ECHOES)
    fitting = ((kind.readout, by) for kind, by in named if kind.readout in possible)
    return next(fitting, (possible[0], f"{_CODE_FIELD} '{code}'") if code else (None, None))


def _named(fields: Mapping[str, Any]) -> Iterator[tuple[Kind, str]]:
    """The kind by each name in the header, with the field's name and value: sequences before series, codes before words."""
    maker = text_of(fields, "Manufacturer").lower()
    known = [vendor for start, vendor in _VENDORS.items() if maker.startswith(start)]
    for name in NAMES:
        text = text_of(fields, name)
        told_by = f"{name} '{text[:40]}'"
        if name in _SEQUENCE_NAMES:
            tables = (_CODES[vendor] for vendor in (known or _CODES))
            codes = (next((kind for pattern, kind in table if re.search(pattern, text, re.IGNORECASE)), None) for table in tables)
            yield from ((kind, told_by) for kind in codes if kind)
        spoken = plain(text)
        yield from ((kind, told_by) for pattern, kind, _ in _WORDS if pattern.search(spoken))
