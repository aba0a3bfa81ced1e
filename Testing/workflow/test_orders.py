"""Laws of all orders: what is permitted, and that JSON gives back what was ordered."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PhysMRISynthLib.errors import OrderError, PhysMRISynthError
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.workflow.analysis.posterior_order import PosteriorOrder
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.orders import Limits, Order
from PhysMRISynthLib.workflow.rendering.order import RenderOrder
from PhysMRISynthLib.workflow.rendering.scanner_effects import ScannerEffects
from PhysMRISynthLib.workflow.results.export_order import ExportOrder
from PhysMRISynthLib.workflow.sampling.order import SampleOrder

ORDERS: tuple[type[Order], ...] = (EstimateOrder, SampleOrder, RenderOrder, ExportOrder, PosteriorOrder, ScannerEffects)
PROTOCOLS = st.sampled_from(("synthetic-dir", "se,TR=500,TE=15", Protocol.of("flair", TR=9000.1).changed("typed", "A note.", TE=91 / 3)))
FREE: dict[str, st.SearchStrategy[Any]] = {
    "field_strength": st.floats(1.0, 4.0),
    "protocols": st.dictionaries(st.sampled_from(("t1w", "t2w", "flair")), st.sampled_from(("oasis3-t1w", "se,TR=500"))),
    "reference": st.sampled_from(("t1w", "flair")),
    "protocol": PROTOCOLS,
    "null": st.lists(st.sampled_from(("white_matter", "csf")), max_size=2).map(tuple),
    "source": st.just(Path("/data/dicom of é")),
    "weights": st.sampled_from(("", "/data/own weights.safetensors")),
    "title": st.text(max_size=9),
    "effects": st.builds(
        ScannerEffects, st.floats(0.0, 100.0), slice_plane=st.sampled_from(("axial", "coronal")), motion=st.floats(0.0, 5.0)
    ),
    "condition": st.dictionaries(st.sampled_from(("brain_volume", "lesion_load")), st.floats(0.0, 2000.0)),
}
"""Values of the fields that have no limits of their own."""


def permitted(entry: Any) -> st.SearchStrategy[Any]:
    limits: Limits | None = entry.metadata.get("limits")
    if entry.name == "protocols":
        values = st.lists(PROTOCOLS, max_size=3).map(tuple) if entry.default == () else FREE[entry.name]
    elif limits is None:
        values = FREE[entry.name]
    elif limits.choices:
        values = st.sampled_from(limits.choices)
    elif limits.whole:
        values = st.integers(int(limits.low), int(min(limits.high, 2**31)))
    else:
        values = st.floats(max(limits.low, limits.above), min(limits.high, 1e9)).filter(limits.permits)
    return values | st.none() if entry.default is None else values


@st.composite
def orders(draw: Any) -> Order:
    kind = draw(st.sampled_from(ORDERS))
    return kind(**{entry.name: draw(permitted(entry)) for entry in fields(kind)})


@settings(deadline=None)
@given(orders())
def test_json_gives_back_what_was_ordered(order: Order) -> None:
    assert type(order).from_json(json.loads(json.dumps(order.as_json()))) == order


@pytest.mark.parametrize("kind", ORDERS)
def test_every_limit_is_watched_and_named_with_what_is_permitted(kind: type[Order]) -> None:
    for entry in fields(kind):
        limits = entry.metadata.get("limits")
        for wrong in [] if limits is None else ["nonsense", float("nan"), limits.low - 1.0, limits.high + 1.0, limits.above, True]:
            if limits.permits(wrong):
                continue
            with pytest.raises(OrderError) as caught:
                kind(**{entry.name: wrong})
            assert limits.title in str(caught.value) and limits.text in str(caught.value), str(caught.value)


@pytest.mark.parametrize("kind", ORDERS)
def test_what_cannot_be_ordered_is_refused(kind: type[Order]) -> None:
    with pytest.raises(OrderError, match=r"There is no option 'depth'\. Use "):
        kind.from_json({"depth": 3})
    for strength in (7.0, float("nan"), "3 T"):
        if "field_strength" in {entry.name for entry in fields(kind)}:
            with pytest.raises(PhysMRISynthError, match="field strength"):
                kind.from_json({"field_strength": strength})


def test_numbers_of_numpy_are_numbers() -> None:
    order = SampleOrder(seed=np.int64(7), renewal=np.float32(0.5))
    assert order == SampleOrder(7, renewal=0.5) and json.dumps(order.as_json())
    assert EstimateOrder(register=np.bool_(False)).register is False
