"""Series from sound and tables: what a file means for a model of (N, T), (N, C, T) or (N, T, C)."""

import wave

import numpy as np
import pytest
from scipy.io import wavfile

import xaionnx
from models import planted
from xaionnx import InputSpec
from xaionnx.data.row_numbers import RowNumbers
from xaionnx.errors import DataError, InputMismatchError

RNG = np.random.default_rng(2)
SIZES = {"N T": (40,), "N C T": (2, 40), "N T C": (40, 2)}


def opened(axes, spec=None, shape=None):
    return planted.load(planted.linear(RNG.normal(size=(3, *(shape or SIZES[axes])))), axes=axes, spec=spec)


def write_wave(path, samples, rate=16000):
    """By the standard library: 16 bits, (T,) or (T, C)."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


def test_sound_is_scaled_and_its_rate_is_that_of_the_times(tmp_path):
    samples = RNG.integers(-(2**15), 2**15, 40)
    write_wave(tmp_path / "a.wav", samples, 80)
    model = opened("N T")
    found = model.read(tmp_path / "a.wav")
    np.testing.assert_array_equal(found.arrays["x"], (samples / 2**15).astype(np.float32)[None])
    result = xaionnx.explain(model, tmp_path / "a.wav", "kernel_shap", 1, features="segments:4")
    assert result.feature_names == ("0.00-0.12 s", "0.12-0.25 s", "0.25-0.38 s", "0.38-0.50 s")
    assert result.provenance["rate"] == 80
    assert (result.display["x"].step, result.display["x"].unit) == (1 / 80, "s")


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_sound_of_other_types(tmp_path, dtype):
    wanted = RNG.uniform(-1, 1, 40)
    full = {"uint8": lambda x: np.rint(x * 128 + 128).clip(0, 255), "int32": lambda x: x * (2**31 - 1)}
    wavfile.write(tmp_path / "a.wav", 80, full.get(dtype, np.asarray)(wanted).astype(dtype))
    found = opened("N T").read(tmp_path / "a.wav").arrays["x"]
    np.testing.assert_allclose(found[0], wanted, atol=0.01 if dtype == "uint8" else 1e-6)


def test_channels_of_sound_are_averaged_for_a_model_of_one_and_kept_for_one_of_as_many(tmp_path):
    stereo = RNG.integers(-(2**15), 2**15, (40, 2))
    write_wave(tmp_path / "a.wav", stereo)
    one = opened("N T").read(tmp_path / "a.wav")
    np.testing.assert_allclose(one.arrays["x"][0], stereo.mean(axis=1) / 2**15, rtol=1e-6)
    assert "2 channels are averaged" in one.notes[0] + one.notes[-1]
    first = opened("N C T").read(tmp_path / "a.wav").arrays["x"][0]
    last = opened("N T C").read(tmp_path / "a.wav").arrays["x"][0]
    np.testing.assert_allclose(first, stereo.T / 2**15, rtol=1e-6)
    np.testing.assert_array_equal(first, last.T)
    with pytest.raises(DataError, match="has 2 channels, but the model takes 3"):
        opened("N C T", shape=(3, 40)).read(tmp_path / "a.wav")


def test_another_rate_than_the_specs_is_refused(tmp_path):
    write_wave(tmp_path / "a.wav", np.arange(40), 44100)
    spec = InputSpec(kind="series", rate=16000)
    with pytest.raises(DataError, match=r"has 44100 steps a second, but the spec of the model states 16000. Resample"):
        opened("N T", spec).read(tmp_path / "a.wav")
    write_wave(tmp_path / "b.wav", np.arange(40), 16000)
    assert opened("N T", spec).read(tmp_path / "b.wav").arrays["x"].shape == (1, 40)
    with pytest.raises(DataError, match="has another number of steps a second than"):
        opened("N T").read([tmp_path / "b.wav", tmp_path / "a.wav"])


def test_what_is_no_sound_or_for_no_series_is_refused(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF0000WAVEjunk")
    with pytest.raises(DataError, match=r"is no .wav file, or is damaged"):
        opened("N T").read(tmp_path / "a.wav")
    write_wave(tmp_path / "b.wav", np.arange(4))
    with pytest.raises(DataError, match="is sound, but nothing says that the input of the model is a series"):
        planted.load(planted.linear(RNG.normal(size=(3, 4)))).read(tmp_path / "b.wav")


def csv(path, array, header=""):
    np.savetxt(path, array, delimiter=",", header=header, comments="")
    return path


@pytest.mark.parametrize("header", ["", "left,right", "time,left,right"])
@pytest.mark.parametrize("axes", ["N C T", "N T C"])
def test_a_table_has_a_column_a_channel_and_a_line_a_step(tmp_path, axes, header):
    values = RNG.normal(size=(40, 2))
    written = np.column_stack([np.arange(40) / 10, values]) if header.startswith("time") else values
    found = opened(axes).read(csv(tmp_path / "a.csv", written, header))
    expected = values.T if axes == "N C T" else values
    np.testing.assert_allclose(found.arrays["x"][0], expected, rtol=1e-6)
    assert any("left out: time" in note for note in found.notes) == header.startswith("time")


def test_columns_are_taken_by_the_names_of_the_spec(tmp_path):
    values = RNG.normal(size=(40, 3))
    spec = InputSpec(kind="series", channel_names=("right", "left"))
    found = opened("N C T", spec).read(csv(tmp_path / "a.csv", values, "left,middle,right")).arrays["x"]
    np.testing.assert_allclose(found[0], values[:, [2, 0]].T, rtol=1e-6)
    with pytest.raises(DataError, match="has no column 'right', which the spec names"):
        opened("N C T", spec).read(csv(tmp_path / "b.csv", values, "left,middle,wright"))


@pytest.mark.parametrize(("mark", "said"), [(" ", "blanks"), (";", "';'")])
def test_what_separates_the_columns_is_said(tmp_path, mark, said):
    np.savetxt(tmp_path / "a.csv", RNG.normal(size=(40, 2)), delimiter=mark)
    with pytest.raises(DataError, match=f"is separated by {said}, not by commas"):
        opened("N C T").read(tmp_path / "a.csv")


@pytest.mark.parametrize("header", ["", "left;right\n"])
def test_a_file_for_excel_names_its_separator(tmp_path, header):
    values = RNG.normal(size=(40, 2)).round(3)
    rows = [f"{left};{right}\n" for left, right in values.tolist()]
    (tmp_path / "a.csv").write_text(f"sep=;\n{header}{''.join(rows)}")
    found = opened("N C T").read(tmp_path / "a.csv").arrays["x"]
    np.testing.assert_allclose(found[0], values.T, rtol=1e-6)
    (tmp_path / "b.csv").write_text(f"sep=;\n{header}{''.join(rows[:-1])}1;x\n")
    with pytest.raises(DataError, match=f"line {41 + bool(header)}: 'x' is not a finite number"):
        opened("N C T").read(tmp_path / "b.csv")


def test_a_single_column_is_counted_in_the_singular(tmp_path):
    with pytest.raises(DataError, match=r"has 1 column, but the series of the model has 2 channels"):
        opened("N C T", shape=(2, 40)).read(csv(tmp_path / "a.csv", RNG.normal(size=(40, 1))))


def test_a_model_of_one_channel_reads_a_line_a_series_or_one_column(tmp_path):
    values = RNG.normal(size=(3, 40))
    found = opened("N T").read(csv(tmp_path / "a.csv", values))
    np.testing.assert_allclose(found.arrays["x"], values, rtol=1e-6)
    assert [name.rpartition("csv")[2] for name in found.names] == ["[0]", "[1]", "[2]"]
    column = opened("N T").read(csv(tmp_path / "b.csv", values[0][:, None], "volts")).arrays["x"]
    np.testing.assert_allclose(column, values[:1], rtol=1e-6)


def test_lines_that_are_series_are_chosen_and_refused_one_by_one(tmp_path):
    values = RNG.normal(size=(4, 40))
    file = csv(tmp_path / "a.csv", values)
    lines = file.read_text().splitlines()
    lines[0], lines[2] = lines[0].replace(lines[0].split(",")[3], "nan"), lines[2] + ",1"
    file.write_text("\n".join(lines))
    found = opened("N T").read(file, partial=True)
    np.testing.assert_allclose(found.arrays["x"], values[[1, 3]], rtol=1e-6)
    assert [(one.row, str(one.error).partition(", ")[2]) for one in found.refused] == [
        (1, "line 1: 'nan' is not a finite number. Correct it."),
        (3, "line 3: 41 cells in place of 40. Correct it."),
    ]
    chosen = opened("N T").read(file, rows=RowNumbers.read("3,1"))
    np.testing.assert_allclose(chosen.arrays["x"], values[[1, 3]], rtol=1e-6)
    assert [name.rpartition("csv")[2] for name in chosen.names] == ["[1]", "[3]"]
    with pytest.raises(DataError, match="has 4 rows, 0 to 3: there is no row 4"):
        opened("N T").read(file, rows=RowNumbers.read("4"))


def test_a_file_that_is_one_series_has_no_rows_to_choose(tmp_path):
    write_wave(tmp_path / "a.wav", np.arange(40))
    for file in (tmp_path / "a.wav", csv(tmp_path / "a.csv", RNG.normal(size=(40, 1)), "volts")):
        with pytest.raises(DataError, match="is one series, which has no rows to choose from"):
            opened("N T").read(file, rows=RowNumbers.read("0"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3\n", "line 3: 1 cells in place of 2"),
        ("a,b\n1,x\n", "line 2: 'x' is not a finite number"),
        ("a,b\n", "contains no numbers"),
        ("a,b,c\n1,2,3\n", "has 3 columns, but the series of the model has 2 channels"),
    ],
)
def test_wrong_tables_are_refused_by_line(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        opened("N C T").read(tmp_path / "a.csv")


def test_a_file_of_another_length_is_refused(tmp_path):
    write_wave(tmp_path / "a.wav", np.arange(50))
    with pytest.raises(InputMismatchError, match="expects"):
        opened("N T").read(tmp_path / "a.wav")


def test_times_and_channels_are_kept_in_the_file_of_a_record(tmp_path):
    spec = InputSpec(kind="series", step="1 h", start="2024-03-01", channel_names=("a", "b"))
    x = RNG.normal(size=(1, 2, 40)).astype(np.float32)
    result = xaionnx.explain(opened("N C T", spec), x, "saliency", 1)
    result.save(tmp_path / "r.npz")
    loaded = xaionnx.Explanation.load(tmp_path / "r.npz")
    assert loaded.display == result.display
    assert loaded.display["x"].time.span(6, 12) == "2024-03-01 06:00-12:00"
    assert loaded.display["x"].names == ("a", "b")
