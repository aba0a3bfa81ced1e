"""How a script words what to do: by the arguments of functions, as Python or as Slicer spells them."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import Remedy, Words


def console_words(spelt: Callable[[str], str] = str) -> Words:
    """The words for scripts, whose arguments are ``spelt`` so."""
    return {
        Remedy.ALLOW_CONTRAST_AGENT: f"use {spelt('allow_contrast_agent')}=True to accept it anyway",
        Remedy.CHOOSE_OUTPUT: "choose another folder or file for the results",
        Remedy.COMPUTE_ON_CPU: "use device='cpu'",
        Remedy.DO: "{this}",
        Remedy.DO_NOT_REGISTER: "trust the files' coordinates with register=False",
        Remedy.GIVE_CONTRAST: "give a protocol",
        Remedy.GIVE_FIELD_STRENGTH: f"give {spelt('field_strength')}",
        Remedy.GIVE_IMAGES: "give the images as t1w, t2w and flair",
        Remedy.GIVE_PROTOCOL: "give the protocol in protocols{form}",
        Remedy.GIVE_UNIT: "give the unit of {quantity} ({units})",
        Remedy.INSTALL: "install {packages}",
        Remedy.LEAVE_SCHEDULER_OUT: "leave scheduler out",
        Remedy.LEAVE_SOURCE_OUT: "leave source out",
        Remedy.NAME_OUTPUT: "give a name that ends in {suffix}",
        Remedy.OVERWRITE: "use overwrite=True",
        Remedy.REINSTALL: "reinstall PhysMRISynth",
        Remedy.RESAMPLE_REGIONS: "use resample=True if both are of this head in the same coordinates",
        Remedy.USE_LITERATURE_PRIOR: "use prior='literature'",
    }
