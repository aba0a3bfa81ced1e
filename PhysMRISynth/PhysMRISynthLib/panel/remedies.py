"""Where in the panel a remedy is found."""

from __future__ import annotations

from slicer.i18n import tr as _

from ..errors import PhysMRISynthError, Remedy, Words
from ..workflow.worker.jobs import Failed


def panelWords() -> Words:
    """The words of the panel in the user's language."""
    return {
        Remedy.ALLOW_CONTRAST_AGENT: _("tick 'Allow contrast agent' under 'Advanced' to accept it anyway"),
        Remedy.CHOOSE_OUTPUT: _("choose another folder"),
        Remedy.COMPUTE_ON_CPU: _("choose CPU as 'Device' under 'Advanced'"),
        Remedy.DO: "{this}",
        Remedy.DO_NOT_REGISTER: _("trust the files' coordinates: set 'Registration' under 'Advanced' to never"),
        Remedy.GIVE_CONTRAST: _("choose a preset, or tissues under 'Contrast design'"),
        Remedy.GIVE_FIELD_STRENGTH: _("enter 'Field' under 'Inputs'"),
        Remedy.GIVE_IMAGES: _("select the images under 'Inputs'"),
        Remedy.GIVE_PROTOCOL: _("enter the protocol beside the image{form}"),
        Remedy.GIVE_UNIT: _("choose the unit of {quantity} ({units})"),
        Remedy.INSTALL: _("install {packages}"),
        Remedy.LEAVE_SCHEDULER_OUT: _("compute without a cluster"),
        Remedy.LEAVE_SOURCE_OUT: _("export anonymously"),
        Remedy.NAME_OUTPUT: _("give a name that ends in {suffix}"),
        Remedy.OVERWRITE: _("allow an earlier result to be replaced"),
        Remedy.REINSTALL: _("reinstall the extension"),
        Remedy.RESAMPLE_REGIONS: _("make the segmentation on the grid of the maps"),
        Remedy.USE_LITERATURE_PRIOR: _("choose 'Atlas only' as 'Anatomy model' under 'Advanced'"),
    }


def inPanel(error: PhysMRISynthError | Failed) -> str:
    """What went wrong, and where in the panel to mend it."""
    return error.told(panelWords())
