"""The one exception family of the package: every error names its cause, and what to do about it.

What to do is data where users do it differently: a command line has options, the panel has places, a script has arguments. Each of them
has its own words for every :class:`Remedy`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum


class Remedy(Enum):
    """What a user can do. The values are words that hold everywhere; names in braces are arguments.

    DO is what every user does alike, beside another remedy.
    """

    ALLOW_CONTRAST_AGENT = "allow a contrast agent to use it anyway"
    CHOOSE_OUTPUT = "choose another place for the results"
    COMPUTE_ON_CPU = "compute on the CPU"
    DO = "{this}"
    DO_NOT_REGISTER = "trust the files' coordinates without registration"
    GIVE_CONTRAST = "give a protocol, tissues to null, or both"
    GIVE_FIELD_STRENGTH = "give the field strength"
    GIVE_IMAGES = "give the images one by one"
    GIVE_PROTOCOL = "give the protocol{form}"
    GIVE_UNIT = "give the unit of {quantity} ({units})"
    INSTALL = "install {packages}"
    LEAVE_SCHEDULER_OUT = "leave the scheduler out"
    LEAVE_SOURCE_OUT = "leave the DICOM source out"
    NAME_OUTPUT = "give the result a name that ends in {suffix}"
    OVERWRITE = "allow overwriting"
    REINSTALL = "reinstall PhysMRISynth"
    RESAMPLE_REGIONS = "allow the regions to be resampled"
    USE_LITERATURE_PRIOR = "use the literature prior"

    def __call__(self, **arguments: str) -> Step:
        """The remedy with its arguments."""
        return Step(self, arguments)


ARGUMENTS: Mapping[Remedy, tuple[str, ...]] = {
    Remedy.DO: ("this",),
    Remedy.GIVE_PROTOCOL: ("form",),
    Remedy.GIVE_UNIT: ("quantity", "option", "units"),
    Remedy.INSTALL: ("packages", "extra"),
    Remedy.NAME_OUTPUT: ("suffix",),
}
"""What the words of a remedy may name; the others have no arguments."""


@dataclass(frozen=True)
class Step:
    """A remedy with its ``arguments``. Raises ValueError for others than it has."""

    remedy: Remedy
    arguments: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if set(self.arguments) != set(ARGUMENTS.get(self.remedy, ())):
            raise ValueError(f"{self.remedy} has other arguments than {list(self.arguments)}")

    def as_json(self) -> dict[str, object]:
        """As JSON values, from which :meth:`from_json` makes it again."""
        return {"remedy": self.remedy.name, **self.arguments}

    @classmethod
    def from_json(cls, values: Mapping[str, str]) -> Step:
        """Raises LookupError for a remedy that does not exist, ValueError for arguments that it does not have."""
        return cls(Remedy[values["remedy"]], {name: str(value) for name, value in values.items() if name != "remedy"})


Words = Mapping[Remedy, str]
"""How a skin words remedies: fragments such as "choose another folder", with arguments in braces."""
PLAIN: Words = {remedy: remedy.value for remedy in Remedy}


def worded(cause: str, steps: Sequence[Step], words: Words = PLAIN) -> str:
    """The ``cause``, and a sentence that offers the ``steps``."""
    parts = [words[step.remedy].format_map(step.arguments) for step in steps]
    offered = ", or ".join(parts)
    return f"{cause} {offered[0].upper()}{offered[1:]}." if offered else cause


class PhysMRISynthError(Exception):
    """Something the user can act on: the ``cause``, which names file or value, and ``remedies``, each of which helps.

    As text both are put together in words that hold everywhere, or in those of the skin that it has passed (:func:`speaking`).
    """

    def __init__(self, cause: str = "", *remedies: Remedy | Step) -> None:
        super().__init__(cause, *remedies)
        self.cause = cause
        self.remedies = tuple(Step(remedy) if isinstance(remedy, Remedy) else remedy for remedy in remedies)
        self.words: Words = PLAIN

    def __str__(self) -> str:
        return self.told(self.words)

    def told(self, words: Words) -> str:
        """What happened and what to do, in the words of a skin."""
        return worded(self.cause, self.remedies, words)


@contextmanager
def speaking(words: Words) -> Iterator[None]:
    """Errors that leave the block, or a function with this as its decorator, are worded so."""
    try:
        yield
    except PhysMRISynthError as error:
        error.words = words
        raise


class OrderError(PhysMRISynthError):
    """A value that cannot be ordered: out of bounds, or of another kind."""


class ProtocolError(PhysMRISynthError):
    """A protocol that cannot be: an unknown name, a value out of bounds, or values that contradict each other."""


class ImageError(PhysMRISynthError):
    """An image that cannot be read or used: its file, its geometry or its voxels."""


class RegistrationError(PhysMRISynthError):
    """Two images that could not be brought onto one grid."""


class EstimationError(PhysMRISynthError):
    """Inputs from which no trustworthy tissue maps can be estimated."""


class WeightsError(PhysMRISynthError):
    """Network weights that are missing, damaged or foreign."""
