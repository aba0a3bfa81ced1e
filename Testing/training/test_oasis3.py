"""The OASIS-3 acquisition: rows as often as they are scanned, and each imperfection as the physics has it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from physmrisynth_training.simulator import oasis3
from physmrisynth_training.simulator.acquisitions import ACQUISITIONS, inputs_of
from physmrisynth_training.simulator.oasis3 import Imperfections, imperfect_signal
from PhysMRISynthLib.headers.header_protocol import protocol_from_sidecar
from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.intake.acquisition import acquisition
from PhysMRISynthLib.imaging.intake.volumes import volume_from_image
from PhysMRISynthLib.physics.echo_train import echo_amplitudes, variable_train
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.tissues import tissue_table
from Testing.training.doubles import slab_head

ROWS = {tissue.name: row for row, tissue in enumerate(tissue_table())}
SPACE_FLAIR = Protocol.of("space_flair", TR=5000, TE=394, TI=1800)
KINDS = [Protocol.of("mprage"), Protocol.of("tse"), Protocol.of("space"), SPACE_FLAIR, Protocol.of("flair", L=150)]


@pytest.fixture(scope="module")
def head() -> KnownHead:
    return slab_head()


def perfect(head: KnownHead) -> Imperfections:
    return Imperfections(0.0, 1.0, 0.65, np.ones(head.maps.pd.shape, dtype=np.float32))


def test_rows_are_drawn_as_often_as_there_are_scans_of_them() -> None:
    assert sum(row.scans for row in oasis3.oasis3_rows()) == 5560
    rng = np.random.default_rng(0)
    drawn = Counter((row.tr, row.te, row.ti) for row in (oasis3.draw_row("t1w", rng) for _ in range(4000)))
    scanned = sum(row.scans for row in oasis3.oasis3_rows() if row.role == "t1w" and row.scans > 1)
    assert drawn[2400.0, 3.16, 1000.0] / 4000 == pytest.approx(1344 / scanned, abs=0.03)
    assert drawn[2300.0, 2.95, 900.0] / 4000 == pytest.approx(865 / scanned, abs=0.03)
    assert drawn[2300.0, 2.95, None] / 4000 == pytest.approx(159 / scanned, abs=0.02)


def test_every_row_can_be_run_and_read_from_its_header(head: KnownHead) -> None:
    volume = volume_from_image(head.maps.image(head.maps.pd))
    families = Counter()
    for row in oasis3.oasis3_rows():
        if row.scans > 1:
            run = oasis3.protocol_as_run(row, np.random.default_rng(0))
            fields = oasis3.header_of(row)
            read = acquisition(row.role, volume, protocol_from_sidecar(fields, row.role, "header"), fields).protocol
            assert run.values["TR"] == read.values["TR"] == row.tr
            assert run.values["TE"] == row.te and run.values.get("TI", row.ti) == (row.ti or run.values.get("TI"))
            families[run.sequence.name] += row.scans
    assert families["space"] == 1601 and families["space_flair"] == 77 and families["tse"] == 7


@pytest.mark.parametrize("protocol", KINDS, ids=lambda p: p.sequence.name)
def test_without_imperfections_the_image_is_the_equations(head: KnownHead, protocol: Protocol) -> None:
    maps = head.maps
    found = imperfect_signal(head, protocol, perfect(head))
    np.testing.assert_allclose(found, protocol.signal(maps.pd, maps.t1, maps.t2), rtol=2e-5, atol=1e-6)


def test_magnetisation_transfer_takes_its_share_of_each_tissue(head: KnownHead) -> None:
    whole, found = (imperfect_signal(head, SPACE_FLAIR, replace(perfect(head), magnetisation_transfer=m)) for m in (0.0, 0.4))
    for name, share in {"white_matter": 1.0, "cortex": 0.55, "deep_grey": 0.65, "thalamus": 0.75, "csf": 0.0}.items():
        where = head.tissue == ROWS[name]
        np.testing.assert_allclose(found[where] / whole[where], 1.0 - 0.4 * share, rtol=1e-5)


def test_a_voxel_of_several_tissues_has_a_bound_pool_between_theirs(head: KnownHead) -> None:
    mixed = replace(head, tissue=np.full_like(head.tissue, 255))
    pool, pure = oasis3.bound_pool(mixed), oasis3.bound_pool(head)
    for name in ("white_matter", "cortex", "csf"):
        where = head.tissue == ROWS[name]
        assert np.median(pool[where]) == pytest.approx(np.median(pure[where]), abs=0.06)


def test_a_poor_inversion_moves_the_null(head: KnownHead) -> None:
    fluid = tissue_table()[ROWS["csf"]]
    t1, left = float(np.exp(fluid.theta[1])), 9000.0 - 150.0
    for efficiency in (1.0, 0.93):
        null = t1 * np.log((1.0 + efficiency) / (1.0 + efficiency * np.exp(-left / t1)))
        flat = replace(head, maps=replace(head.maps, t1=np.full_like(head.maps.t1, t1)))
        image = imperfect_signal(flat, Protocol.of("flair", TI=null, L=150), replace(perfect(head), inversion_efficiency=efficiency))
        assert image.max() < 1e-4


def test_flip_angles_follow_the_transmit_field(head: KnownHead) -> None:
    field = np.linspace(0.9, 1.1, head.maps.pd.size, dtype=np.float32).reshape(head.maps.pd.shape)
    found = replace(perfect(head), transmit=field)
    maps, mprage = head.maps, KINDS[0]
    np.testing.assert_allclose(imperfect_signal(head, mprage, found), mprage.signal(maps.pd, maps.t1, maps.t2, field), rtol=1e-4, atol=1e-6)
    space, values = Protocol.of("space"), Protocol.of("space").values
    image, echo = imperfect_signal(head, space, found), round(values["TE"] / values["ESP"])
    rest = values["TR"] - values["ETL"] * values["ESP"]
    for where in zip(*np.nonzero(maps.mask & (np.random.default_rng(0).random(maps.mask.shape) < 0.02)), strict=True):
        t1, t2 = (np.array([float(values_[where])]) for values_ in (maps.t1, maps.t2))
        echoes, recovered = echo_amplitudes(field[where] * variable_train(270, echo), values["ESP"], t1, t2)
        expected = maps.pd[where] * (1.0 - (1.0 - recovered) * np.exp(-rest / t1)) * echoes[echo - 1]
        assert image[where] == pytest.approx(expected[0], abs=3e-3)


@pytest.mark.parametrize("name", ACQUISITIONS)
def test_scans_of_one_seed_differ_in_noise_alone(head: KnownHead, name: str) -> None:
    quiet, same, loud = (inputs_of(head, np.random.default_rng(3), noise, name) for noise in (1e-7, 1e-7, 0.02))
    assert [a.name for a in quiet] == ["t1w", "t2w", "flair"]
    for a, b, c in zip(quiet, same, loud, strict=True):
        assert a.protocol == b.protocol == c.protocol
        np.testing.assert_array_equal(a.volume.voxels, b.volume.voxels)
        far = np.abs(c.volume.voxels - a.volume.voxels)[head.maps.mask]
        assert 0.0 < far.max() < 0.2 * a.volume.voxels.max()


def test_headers_state_less_than_was_run(head: KnownHead) -> None:
    rng = np.random.default_rng(1)
    scans = [scan for _ in range(12) for scan in oasis3.oasis3_scans(head, rng, from_headers=True).values()]
    assert any(scan.as_run.spec != scan.input.protocol.spec for scan in scans)
    shares = [scan.imperfections.magnetisation_transfer for scan in scans if scan.as_run.sequence.name == "space"]
    assert 0.05 < np.mean(shares) < 0.15
    assert all(0.93 <= scan.imperfections.inversion_efficiency <= 0.99 for scan in scans)


def test_protocols_stated_slightly_wrong_are_those_of_the_same_images(head: KnownHead) -> None:
    true, off = (inputs_of(head, np.random.default_rng(3), acquisition=name) for name in ("standard", "standard-off"))
    for a, b in zip(true, off, strict=True):
        np.testing.assert_array_equal(a.volume.voxels, b.volume.voxels)
        changed = {name: b.protocol.values[name] / value for name, value in a.protocol.values.items() if b.protocol.values[name] != value}
        assert {"TR", "TE"} <= set(changed) and all(0.4 < ratio < 2.5 for ratio in changed.values())
