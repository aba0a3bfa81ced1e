"""Work beside other work: its result and its errors reach who asks for them, and it never outlives the block."""

from __future__ import annotations

import threading

import pytest

from PhysMRISynthLib.errors import EstimationError
from PhysMRISynthLib.workflow.meanwhile import begun


def test_work_goes_on_while_the_block_works() -> None:
    asked = threading.Event()

    def work() -> int:
        assert asked.wait(10.0)
        return threading.get_ident()

    with begun(work) as result:
        asked.set()  # before any result is waited for
        assert result() == result() != threading.get_ident()
    assert result() != threading.get_ident()


def test_an_error_reaches_who_asks_for_the_result() -> None:
    def work() -> None:
        raise EstimationError("nothing was found")

    with pytest.raises(EstimationError, match="nothing was found"), begun(work) as result:
        result()


@pytest.mark.parametrize("error", (EstimationError("no head"), KeyboardInterrupt()), ids=repr)
def test_a_block_that_fails_ends_after_the_work(error: BaseException) -> None:
    ended, going = [], threading.Event()

    def work() -> None:
        going.wait(0.2)
        ended.append(True)

    with pytest.raises(type(error)), begun(work):
        raise error
    assert ended
