"""Whatever a header or a typed protocol says: a valid protocol, or an error of the family that users can act on.

Twelve hundred of each in the suite; as many as PHYSMRISYNTH_HEADERS says in the nightly job.
"""

from __future__ import annotations

import math
import os
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.headers.contrast_agent import contrast_agent
from PhysMRISynthLib.headers.header_protocol import USED_FIELDS, protocol_from_sidecar, stated_field_strength
from PhysMRISynthLib.headers.roles import ROLES, role_of_series
from PhysMRISynthLib.physics.presets import load_presets, protocol_from_spec
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.sequences import SEQUENCES

NAMES = (
    "*tfl3d1", "*spcir_242ns", "*se2d1", "efgre3d", "Cube", "T1TFE", "TIR", "FASE3D_MPV", "IR-FSPGR", "MP2RAGE", "T2 FLAIR", "SE", "GR\\IR",
    "SE_IR", "EP", "3D", "2D", "SIEMENS", "GE MEDICAL SYSTEMS", "Philips", "CANON_MEC", "MP", "t1_mprage", "STIR",
)  # fmt: skip
TIMES = (0.0, 0.003, 0.0076, 0.015, 0.1, 0.39, 0.5, 0.9, 2.3, 2.5, 9.0, 1, 8, 12, 120, 176, 300)
ANYTHING = (
    st.floats()
    | st.integers()
    | st.text(max_size=6)
    | st.none()
    | st.booleans()
    | st.lists(st.sampled_from((*NAMES, *TIMES, None)), max_size=2)
)
NUMBERS = ("RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "EchoTrainLength")
FIELD = (
    st.tuples(st.sampled_from(NUMBERS), st.sampled_from(TIMES))
    | st.tuples(st.sampled_from(("ScanningSequence", "SequenceName", "SeriesDescription", "Manufacturer")), st.sampled_from(NAMES))
    | st.tuples(st.sampled_from(USED_FIELDS), st.sampled_from((*TIMES, *NAMES)))
    | st.tuples(st.sampled_from(USED_FIELDS), ANYTHING)
)
SOUND = st.lists(st.sampled_from(("TR=4800", "TE=2.5", "te = 3", "TI=900", "FA=8", "N=100", "ESP=7")), max_size=3, unique=True)
PART = (
    st.sampled_from(("", "TR", "TE", "te", "TI", "FA", "ESP", "N", "L", "TI1", "FA2", "=", ",", " ", "nan", "1e999", "-5", "٣", "\0"))
    | st.sampled_from(("TR=2400", "TE=100", "TI=900", "FA=8", "N=176", "L=150", "TR=0x10", "TE=", "=5", "TR=1_000"))
    | st.text(max_size=5)
    | st.floats().map(lambda value: f"TE={value!r}")
    | st.integers(-10, 10_000).map(lambda value: f"TR={value}")
)


EXAMPLES = int(os.environ.get("PHYSMRISYNTH_HEADERS", "1200"))


def check(protocol: Protocol) -> None:
    assert set(protocol.sources) >= set(protocol.values)
    for name, value in protocol.values.items():
        bounds = protocol.sequence.parameter(name)
        assert math.isfinite(value) and bounds.minimum <= value <= bounds.maximum
    assert math.isfinite(protocol.signal(0.7, 900.0, 70.0))


@settings(max_examples=EXAMPLES, deadline=None)
@given(fields=st.lists(FIELD, max_size=7).map(dict), role=st.sampled_from(ROLES))
def test_any_header_gives_a_valid_protocol_or_a_message(fields: dict[str, Any], role: str) -> None:
    try:
        check(protocol_from_sidecar(fields, role, "sidecar x.json"))
        stated_field_strength(fields, "sidecar x.json")
    except PhysMRISynthError as error:
        assert len(str(error)) > 20
    contrast_agent(fields, "sub-1_T1w.nii.gz")
    role_of_series("t2_tirm", fields)


@settings(max_examples=EXAMPLES, deadline=None)
@given(name=st.sampled_from((*SEQUENCES, *load_presets(), "")) | st.text(max_size=6), parts=SOUND | st.lists(PART, max_size=4))
def test_any_typed_protocol_is_valid_or_gets_a_message(name: str, parts: list[str]) -> None:
    try:
        check(protocol_from_spec(",".join([name, *parts])))
    except PhysMRISynthError as error:
        assert len(str(error)) > 20
