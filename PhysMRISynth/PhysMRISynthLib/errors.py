"""The one exception family of the package: every message names the cause and the next step."""


class PhysMRISynthError(Exception):
    """Something the user can act on: what is wrong, which file or value, and what to do."""


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
