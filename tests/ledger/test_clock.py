"""The CPU time of nested phases."""

import time

import pytest

from bofl_jax.ledger.clock import CpuClock


@pytest.fixture
def clock(monkeypatch):
    """A clock for which 1 s of CPU time passes between two readings."""
    ticks = iter(range(100))
    monkeypatch.setattr(time, "thread_time", lambda: next(ticks))
    return CpuClock()


def test_a_phase_is_charged_in_milliseconds(clock):
    with clock.phase("signing"):
        pass
    assert clock.ms == {"signing": 1000}


def test_an_inner_phase_does_not_count_towards_the_outer_one(clock):
    with clock.phase("outer"), clock.phase("inner"):
        pass
    assert clock.ms == {"outer": 2000, "inner": 1000}


def test_time_between_phases_is_not_charged(clock):
    for _ in range(2):
        with clock.phase("signing"):
            pass
    assert clock.ms == {"signing": 2000}


def test_a_phase_ends_when_an_exception_leaves_it(clock):
    with pytest.raises(ZeroDivisionError), clock.phase("outer"), clock.phase("inner"):
        raise ZeroDivisionError
    with clock.phase("next"):
        pass
    assert clock.ms == {"outer": 2000, "inner": 1000, "next": 1000}


def test_a_reset_returns_the_times_and_starts_again(clock):
    with clock.phase("signing"):
        pass
    assert (clock.reset(), clock.reset()) == ({"signing": 1000}, {})
