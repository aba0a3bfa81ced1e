"""What can be asked of a sampling model."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from ...errors import speaking
from ...network.diffusion_config import Condition
from ...network.known_conditions import known_conditions
from ..console_words import console_words


@speaking(console_words())
def sample_conditions(weights: str | PathLike[str] | None = None) -> dict[str, Condition]:
    """The conditions that :func:`~PhysMRISynthLib.sample` takes, by name; reads the head of the weights' file alone, without torch.

    Parameters
    ----------
    weights
        A file that ``physmrisynth train ldm`` wrote; by default the installed sampling model.

    Returns
    -------
    dict
        Of each condition its ``title``, ``unit``, and ``least`` and ``greatest``: those of the training heads, or where the weights do not
        hold them, of what is possible.

    Raises
    ------
    WeightsError
        When the weights are missing, damaged or of another kind.
    """
    return known_conditions(None if weights is None else Path(weights))
