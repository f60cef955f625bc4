"""Whose time it was."""

import time

import pytest

from bofl_jax.ledger.clock import Clock


@pytest.fixture
def clock(monkeypatch):
    """A clock in a thread that works 1 s between two looks at the time."""
    ticks = iter(range(100))
    monkeypatch.setattr(time, "thread_time", lambda: next(ticks))
    return Clock()


def test_a_phase_is_charged_in_milliseconds(clock):
    with clock.phase("signing"):
        pass
    assert clock.ms == {"signing": 1000}


def test_an_inner_phase_does_not_count_towards_the_outer_one(clock):
    with clock.phase("outer"), clock.phase("inner"):
        pass
    assert clock.ms == {"outer": 2000, "inner": 1000}


def test_time_between_phases_is_nobodys(clock):
    for _ in range(2):
        with clock.phase("signing"):
            pass
    assert clock.ms == {"signing": 2000}


def test_a_phase_that_fails_ends_as_well(clock):
    with pytest.raises(ZeroDivisionError), clock.phase("outer"), clock.phase("inner"):
        raise ZeroDivisionError
    with clock.phase("next"):
        pass
    assert clock.ms == {"outer": 2000, "inner": 1000, "next": 1000}


def test_a_reset_hands_over_and_starts_again(clock):
    with clock.phase("signing"):
        pass
    assert (clock.reset(), clock.reset()) == ({"signing": 1000}, {})
