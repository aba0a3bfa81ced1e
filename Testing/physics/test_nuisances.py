"""What is known of scanners beside the prescription, as it stands in the table."""

import inspect

import pytest

from PhysMRISynthLib.physics.nuisances import MAGNETIZATION_TRANSFER, bound_pool, nuisances_of
from PhysMRISynthLib.physics.protocol import TRANSMIT_FIELD, Protocol
from PhysMRISynthLib.physics.sequences import SEQUENCES
from PhysMRISynthLib.physics.tissues import tissue_table


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_nuisance_is_one_that_the_equation_takes(name: str) -> None:
    arguments = inspect.signature(SEQUENCES[name].equation).parameters
    for nuisance in nuisances_of(Protocol.of(name)):
        assert nuisance.name in (*arguments, MAGNETIZATION_TRANSFER, TRANSMIT_FIELD)
        assert nuisance.sd > 0 and len(nuisance.source) > 20


@pytest.mark.parametrize("name", [name for name in SEQUENCES if name != "mprage_simple"])
def test_every_inversion_may_be_imperfect(name: str) -> None:
    inverts = any(p.name.startswith("TI") for p in SEQUENCES[name].parameters)
    assert inverts == any(nuisance.name == "inversion_efficiency" for nuisance in nuisances_of(Protocol.of(name)))


def test_only_the_tables_tissues_have_a_bound_pool() -> None:
    names = [tissue.name for tissue in tissue_table()]
    pools = dict(zip(names, bound_pool(names), strict=True))
    assert pools["white_matter"] == 1.0 and pools["csf"] == 0.0 and 0.0 < pools["cortex"] < pools["thalamus"] < 1.0


def test_what_the_protocol_states_is_no_nuisance() -> None:
    unknown, stated = (Protocol.of("ir", TR=2000, TE=20, TI=800, **length) for length in ({}, {"L": 100.0}))
    assert "L" in [nuisance.name for nuisance in nuisances_of(unknown)]
    assert "L" not in [nuisance.name for nuisance in nuisances_of(stated)]
