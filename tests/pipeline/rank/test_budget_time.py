"""Times as a person writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rank.budget.durations import seconds_of, time_text
from schemas.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("20min", 1200), ("6h", 21_600), ("1h30min", 5400), ("1.5h", 5400), ("1h 5s", 3605), ("2MIN", 120)],
)
def test_a_time_is_read(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["20", "20m", "min", "", " ", "-5s", "0min", "30s1h", "1e3s", "∞h", "٣h", "1h1h", f"{10**400}h"])
def test_what_is_no_time_is_refused_with_how_to_write_one(text):
    with pytest.raises(UsageError, match=r"--budget .*6h, 20min, 90s or 1h30min"):
        seconds_of(text)


@given(st.floats(0.01, 1e6))
def test_a_time_that_is_told_reads_back_rounded_up(seconds):
    again = seconds_of(time_text(seconds))
    assert seconds <= again < seconds + (1 if seconds <= 599 else 60)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1s"), (60, "1min"), (61, "1min1s"), (601, "11min"), (3600, "1h"), (5400, "1h30min")]
)
def test_a_time_is_told_shortly(seconds, text):
    assert time_text(seconds) == text
