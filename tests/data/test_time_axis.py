"""When the steps of a series are: what a spec states, and how a reader writes it."""

import pytest

from xaionnx import InputSpec
from xaionnx.data.time_axis import TimeAxis
from xaionnx.errors import ParameterError


@pytest.mark.parametrize(
    ("axis", "span", "words"),
    [
        (TimeAxis(), (12, 16), "12-15"),
        (TimeAxis(), (12, 13), "12"),
        (TimeAxis(1 / 16000, "s"), (8000, 12000), "0.50-0.75 s"),
        (TimeAxis(1 / 16000, "s"), (8000, 8001), "0.5 s"),
        (TimeAxis(0.01, "s", -1.0), (0, 20), "-1.00 to -0.80 s"),
        (TimeAxis(1, "h"), (12, 16), "12-16 h"),
        (TimeAxis(1, "h", "2024-03-01"), (6, 12), "2024-03-01 06:00-12:00"),
        (TimeAxis(15, "min", "2024-01-01 22:00"), (0, 16), "2024-01-01 22:00 to 2024-01-02 02:00"),
        (TimeAxis(1, "d", "2024-01-01"), (0, 7), "2024-01-01 to 2024-01-07"),
        (TimeAxis(1, "h", "2024-03-01"), (24, 48), "2024-03-02"),
        (TimeAxis(1, "h", "2024-03-01"), (24, 72), "2024-03-02 to 2024-03-03"),
        (TimeAxis(1, "d", "2024-02-28"), (2, 3), "2024-03-01"),
    ],
)
def test_spans_as_a_reader_writes_them(axis, span, words):
    assert axis.span(*span) == words


def test_a_spec_states_time_and_channels(tmp_path):
    (tmp_path / "m.toml").write_text('[input]\nrate = 500\nchannels = ["lead I", "lead II"]\nstart = 2\n')
    spec = InputSpec.read(tmp_path / "m.toml")
    assert (spec.kind, spec.channel_names) == ("series", ("lead I", "lead II"))
    assert spec.time == TimeAxis(1 / 500, "s", 2)
    assert spec.summary() == "series of 2 channels, 500 Hz"
    (tmp_path / "m.toml").write_text('[input]\nstep = "15 min"\nstart = 2024-03-01T06:00:00\n')
    assert InputSpec.read(tmp_path / "m.toml").time == TimeAxis(15, "min", "2024-03-01T06:00:00")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rate": 0}, r"'rate' parameter of InputSpec must be a float in \(0, inf\)"),
        ({"rate": 1, "step": "1 h"}, "both give the time of a step"),
        ({"step": "1"}, "must be a number above 0 with a unit"),
        ({"step": "0 h"}, "must be a number above 0 with a unit"),
        ({"step": "1 mile", "start": "2024-03-01"}, "is a date, so 'step' must be in"),
        ({"step": "1 h", "start": "soon"}, "must be a number or a date and time"),
        ({"rate": 1, "kind": "table"}, "need kind='series'"),
        ({"channel_names": ["a", "a"]}, "lists 'a' twice"),
    ],
)
def test_wrong_times_are_refused(fields, message):
    with pytest.raises(ParameterError, match=message):
        InputSpec(**({"kind": "series"} | fields))
