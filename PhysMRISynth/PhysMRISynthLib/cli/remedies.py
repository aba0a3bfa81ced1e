"""How a command line words what to do."""

from __future__ import annotations

from ..errors import Remedy, Words

WORDS: Words = {
    Remedy.ALLOW_CONTRAST_AGENT: "use --allow-contrast-agent to accept it anyway",
    Remedy.CHOOSE_OUTPUT: "choose another --out",
    Remedy.COMPUTE_ON_CPU: "use --device cpu",
    Remedy.DO: "{this}",
    Remedy.DO_NOT_REGISTER: "trust the files' coordinates with --no-register",
    Remedy.GIVE_CONTRAST: "give --protocol, --null, or both",
    Remedy.GIVE_FIELD_STRENGTH: "give --field-strength",
    Remedy.GIVE_IMAGES: "give the images with --t1w, --t2w and --flair",
    Remedy.GIVE_PROTOCOL: "give the protocol on the command line{form}",
    Remedy.GIVE_UNIT: "give --{option}-unit ({units})",
    Remedy.INSTALL: "install physmrisynth[{extra}]",
    Remedy.LEAVE_SCHEDULER_OUT: "leave --scheduler out",
    Remedy.LEAVE_SOURCE_OUT: "leave --source out",
    Remedy.NAME_OUTPUT: "give --out a name that ends in {suffix}",
    Remedy.OVERWRITE: "add --overwrite",
    Remedy.REINSTALL: "reinstall physmrisynth",
    Remedy.RESAMPLE_REGIONS: "add --resample if both are of this head in the same coordinates",
    Remedy.USE_LITERATURE_PRIOR: "use --prior literature",
}
