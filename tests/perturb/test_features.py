"""Features: every label of a map keeps its elements, whatever the labels are."""

import numpy as np
import pytest

from xaionnx import Features, InputSpec
from xaionnx.data.axes import TensorAxes
from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, ParameterError, UnknownNameError
from xaionnx.perturb.players import Players

RNG = np.random.default_rng(5)
PICTURE = RNG.random((3, 12, 10)).astype(np.float32)


def sample(layout="NCHW", spec=None, **more):
    x = PICTURE if layout == "NCHW" else np.ascontiguousarray(PICTURE.transpose(1, 2, 0))
    return Sample({"x": x, **more}, "x", spec)


def full(features, one, name="x"):
    """The player of each element, in the shape of the input, and the number of players."""
    players = Features.of(features).players(one)
    return np.broadcast_to(players.maps[name], one.x[name].shape), players.count


def planes(labels, layout):
    """A label map of the input as (C, H, W)."""
    return labels if layout == "NCHW" else labels.transpose(2, 0, 1)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
class TestPictures:
    def test_pixels(self, layout):
        labels, count = full("pixels", sample(layout))
        assert count == 120
        for plane in planes(labels, layout):
            np.testing.assert_array_equal(plane, np.arange(120).reshape(12, 10))

    def test_windows_tile_the_picture_and_the_last_are_smaller(self, layout):
        labels, count = full(Features.windows((5, 4)), sample(layout))
        assert count == 3 * 3
        rows, columns = np.mgrid[:12, :10]
        np.testing.assert_array_equal(planes(labels, layout)[0], rows // 5 * 3 + columns // 4)

    @pytest.mark.parametrize(("down", "across"), [(7, 7), (1, 10), (12, 1), (5, 3)])
    def test_cells_of_a_grid_differ_by_one_pixel_at_most(self, layout, down, across):
        labels, count = full(Features.grid(down, across), sample(layout))
        assert count == down * across
        cells = planes(labels, layout)[0].reshape(12, 10)
        heights = [len(np.unique(np.nonzero(cells == k)[0])) for k in range(count)]
        widths = [len(np.unique(np.nonzero(cells == k)[1])) for k in range(count)]
        assert np.ptp(heights) <= 1
        assert np.ptp(widths) <= 1
        assert [h * w for h, w in zip(heights, widths, strict=True)] == np.bincount(cells.ravel()).tolist()

    def test_channels(self, layout):
        labels, count = full("channels", sample(layout))
        assert count == 3
        assert [np.unique(plane).tolist() for plane in planes(labels, layout)] == [[0], [1], [2]]

    @pytest.mark.parametrize("algorithm", ["slic", "felzenszwalb", "quickshift"])
    @pytest.mark.parametrize("spec", [True, False])
    def test_superpixels_find_four_coloured_squares(self, layout, algorithm, spec):
        picture = np.zeros((3, 40, 40), np.float32)
        picture[0, :20, :20] = picture[1, :20, 20:] = picture[2, 20:, :20] = 1
        x = picture if layout == "NCHW" else picture.transpose(1, 2, 0)
        told = InputSpec(layout=layout, scale=255) if spec else None
        one = Sample({"x": x}, "x", told)
        features = Features.superpixels(algorithm, count=4, sigma=0.1)
        labels, count = full(features, one)
        squares = planes(labels, layout)
        assert np.array_equal(squares[0], squares[2])
        # Segments stay within the squares, except at the borders.
        corners = [squares[0, r : r + 14, c : c + 14] for r in (3, 23) for c in (3, 23)]
        assert not set(np.unique(corners[0])) & set(np.unique(corners[3]))
        assert 4 <= count < 400
        np.testing.assert_array_equal(full(features, one)[0], labels)

    @pytest.mark.parametrize("name", ["superpixels", "slic", "felzenszwalb", "quickshift"])
    def test_superpixels_of_a_flat_gray_picture(self, layout, name):
        shape = (1, 9, 9) if layout == "NCHW" else (9, 9, 1)
        labels, count = full(name, Sample({"x": np.full(shape, 3.0, np.float32)}, "x"))
        assert labels.shape == shape
        assert np.unique(labels).tolist() == list(range(count))

    @pytest.mark.parametrize("shape", ["plane", "with channel", "full", "one each", "one each with channel"])
    @pytest.mark.parametrize("named", [False, True])
    def test_forms_of_a_label_map(self, layout, shape, named):
        plane = RNG.integers(0, 5, (2, 12, 10))
        axis = 1 if layout == "NCHW" else 3
        given = {
            "plane": plane[1],
            "with channel": np.expand_dims(plane[1], axis - 1),
            "full": np.repeat(np.expand_dims(plane[1], axis - 1), 3, axis - 1),
            "one each": plane,
            "one each with channel": np.expand_dims(plane, axis),
        }[shape]
        second = Sample({"x": sample(layout).array}, "x", None, 1, 2)
        labels, count = full({"x": given} if named else given, second)
        assert count == 5
        for channel in planes(labels, layout):
            np.testing.assert_array_equal(channel, plane[1])


@pytest.mark.parametrize(
    "labels",
    [[1, 1, 2, 3], [0, 0, 1, 2], [-5, -5, -1, 0], [7, 7, 100, 2**40], [3, 3, 2, 1], [-1, -1, -2, 9]],
)
@pytest.mark.parametrize("dtype", [np.int64, np.int16])
def test_any_labels_are_renumbered_without_being_shifted(labels, dtype):
    if np.max(labels) > np.iinfo(dtype).max:
        dtype = np.int64
    given = np.array(labels, dtype)
    players = Features.of(given).players(Sample({"x": np.zeros(4)}, "x"))
    assert players.count == 3
    # The elements of a label have the value of that label.
    value_of = {label: float(label) * 2 for label in labels}
    values = np.array([[value_of[int(label)] for label in players.labels]])
    spread = players.spread(values, {"x": np.zeros(4)})["x"]
    np.testing.assert_array_equal(spread[0], np.float32([value_of[label] for label in labels]))


def test_unsigned_and_signed_maps_of_two_inputs_share_players():
    one = Sample({"a": np.zeros(3), "b": np.zeros((2, 2))}, "a")
    maps = {"a": np.array([2, 2, 300], np.uint64), "b": np.array([[-1, 300], [2, 2]])}
    players = Features.of(maps).players(one)
    assert players.labels.tolist() == [-1, 2, 300]
    assert players.maps["a"].tolist() == [1, 1, 2]
    assert players.maps["b"].tolist() == [[0, 2], [1, 1]]
    spread = players.spread(np.array([[10.0, 20.0, 30.0]]), one.x)
    assert spread["a"][0].tolist() == [20, 20, 30]
    assert spread["b"][0].tolist() == [[10, 30], [20, 20]]


def test_a_second_picture_is_known_by_its_shape():
    spec = InputSpec(layout="NCHW")
    one = Sample({"x": PICTURE, "y": np.zeros((6, 8, 3))}, "x", spec)
    labels, _ = full({"y": np.arange(48).reshape(6, 8)}, one, "y")
    np.testing.assert_array_equal(labels[:, :, 2], np.arange(48).reshape(6, 8))


def test_spread_gives_the_value_undivided_and_zero_where_nothing_is_removed():
    x = {"x": np.zeros((3, 2, 2)), "z": np.zeros(2)}
    players = Players.of({"x": np.array([[[4, 4], [4, 9]]])})
    spread = players.spread(np.array([[1.5, -2.0], [3.0, 4.0]]), x)
    np.testing.assert_array_equal(spread["x"][1], np.broadcast_to([[3, 3], [3, 4]], (3, 2, 2)))
    assert spread["x"].dtype == np.float32
    np.testing.assert_array_equal(spread["z"], np.zeros((2, 2)))


def test_elements_are_those_of_all_inputs_with_a_batch_axis():
    one = Sample({"a": np.zeros((2, 2)), "gain": np.ones(1), "b": np.zeros(3)}, "a", None, 0, 1, frozenset({"gain"}))
    players = Features.elements().players(one)
    assert {name: m.tolist() for name, m in players.maps.items()} == {"a": [[0, 1], [2, 3]], "b": [4, 5, 6]}
    with pytest.raises(InputMismatchError, match="Input 'gain' has no batch axis: it is the same for all samples"):
        Features.of({"gain": [0]}).players(one)


def test_columns_in_no_group_stand_by_themselves():
    row = Sample({"x": np.zeros(6)}, "x")
    for groups in ([[1, 3], [5, 0]], {"first": [1, 3], "second": [5, 0]}):
        labels, count = full(Features.columns(groups), row)
        assert labels.tolist() == [0, 1, 2, 1, 3, 0]
        assert count == 4


def test_the_default_is_superpixels_of_a_picture_and_else_elements():
    assert Features.of(None).resolved(sample()) == Features.superpixels()
    assert Features.of(None).resolved(Sample({"x": np.zeros(4)}, "x")) == Features.elements()
    assert Features.of(None).resolved(sample(spec=InputSpec(kind="array"))) == Features.elements()
    labels, _ = full(None, sample())
    np.testing.assert_array_equal(labels, full("slic", sample())[0])
    assert Features.of("grid").players(sample()).features == Features.grid()


def of_roles(array, axes):
    roles = TensorAxes.stated(axes).roles
    return Sample({"x": np.asarray(array, np.float32)}, "x", roles={"x": roles})


def purity(labels, inside):
    """The share of elements on the side of a border on which most elements of their label lie."""
    counts = [np.bincount(labels[side].ravel(), minlength=labels.max() + 1) for side in (inside, ~inside)]
    return np.maximum(*counts).sum() / labels.size


@pytest.mark.parametrize("count", [2, 4, 13])
@pytest.mark.parametrize("name", ["slic:8", "felzenszwalb"])
def test_superpixels_follow_every_band(name, count):
    """Two halves that differ in two bands, whose mean is the same everywhere."""
    left = np.arange(32) < 12
    bands = np.zeros((count, 24, 32))
    bands[0], bands[-1] = left * 900, ~left * 900
    labels, players = full(name, of_roles(bands, "C H W"))
    assert players >= 2
    assert purity(labels[0], np.broadcast_to(left, (24, 32))) > 0.93
    last, _ = full(name, of_roles(np.moveaxis(bands, 0, -1), "H W C"))
    np.testing.assert_array_equal(last[..., 0], labels[0])


@pytest.mark.parametrize("count", [2, 5])
def test_quickshift_of_bands_does_not_depend_on_their_range(count):
    bands = np.kron(np.random.default_rng(0).normal(size=(count, 6, 8)), np.ones((1, 16, 16)))
    labels, players = full("quickshift", of_roles(bands, "C H W"))
    assert players > 1
    scaled = np.linspace(-3, 900, count)[:, None, None] + bands * np.geomspace(0.5, 64, count)[:, None, None]
    assert purity(full("quickshift", of_roles(scaled, "C H W"))[0][0], labels[0] == labels[0, 0, 0]) > 0.99


def test_a_picture_without_channels_has_the_superpixels_of_a_gray_one():
    gray = np.random.default_rng(0).normal(size=(24, 32)).cumsum(axis=1)
    for name in ("slic:8", "felzenszwalb", "quickshift"):
        alone, _ = full(name, of_roles(gray, "H W"))
        np.testing.assert_array_equal(alone, full(name, of_roles(gray[None], "C H W"))[0][0])


@pytest.mark.parametrize("channels", [0, 1, 3])
def test_supervoxels_follow_the_edges_of_a_volume(channels):
    inside = np.zeros((10, 16, 20), bool)
    inside[:5, :8, :10] = True
    volume = inside if not channels else np.stack([inside] * channels)
    labels, players = full("slic:16", of_roles(volume, "D H W" if not channels else "C D H W"))
    assert 6 <= players <= 24
    assert purity(labels if not channels else labels[0], inside) > 0.95


def test_the_default_of_volumes_and_of_pictures_without_channels():
    rng = np.random.default_rng(0)
    assert Features.of(None).resolved(of_roles(rng.normal(size=(24, 32)), "H W")) == Features.superpixels()
    assert Features.of(None).resolved(of_roles(rng.normal(size=(4, 8, 12)), "D H W")) == Features.superpixels()
    assert Features.of(None).resolved(of_roles(rng.normal(size=(24, 5)), "T F")) == Features.elements()
    # A volume of few planes has a layer for each.
    labels, count = full("grid", of_roles(rng.normal(size=(1, 4, 8, 12)), "C D H W"))
    assert count == 4 * 7 * 7
    assert len(np.unique(np.broadcast_to(labels, (1, 4, 8, 12))[0, :, 0, 0])) == 4


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: Features.of("quickshift").players(of_roles(np.zeros((4, 8, 12)), "D H W")),
            InputMismatchError,
            r"features='quickshift' divides pictures, but input 'x' has the shape .*Use features='slic'",
        ),
        (
            lambda: Features.of("superpixels").players(of_roles(np.zeros((8, 3)), "T F")),
            InputMismatchError,
            r"features='slic' divides pictures and volumes, but .*Use features='windows:8', a grid, or",
        ),
        (lambda: Features.of("superpixel"), UnknownNameError, "No features named 'superpixel'. Nearest: superpixels"),
        (
            lambda: Features.of(np.zeros(3)),
            ParameterError,
            "The 'features' parameter must be a name, Features, or an integer label map. Got float64 instead.",
        ),
        (lambda: Features.of([True, False]), ParameterError, "Got bool instead."),
        (lambda: Features.of({}), ParameterError, "must name at least one input. Got {} instead."),
        (
            lambda: Features.windows(0),
            ParameterError,
            r"The 'size' parameter of Features.windows must be an int in \[1, inf\). Got 0 instead.",
        ),
        (lambda: Features.windows((2, 3, 4)), ParameterError, r"Got \(2, 3, 4\) instead."),
        (
            lambda: Features.grid(2.5),
            ParameterError,
            r"The 'rows' parameter of Features.grid must be an int in \[1, inf\)",
        ),
        (lambda: Features.grid(2, 0), ParameterError, "The 'columns' parameter of Features.grid .* Got 0 instead."),
        (lambda: Features.superpixels(count=0), ParameterError, "The 'count' parameter of Features.superpixels"),
        (lambda: Features.superpixels("slik"), UnknownNameError, "No superpixel algorithm named 'slik'. Nearest: slic"),
        (
            lambda: Features.grid(13, 2).players(sample()),
            ParameterError,
            "A grid of 13 by 2 cells does not fit a picture of 12 by 10 pixels.",
        ),
        (
            lambda: Features.pixels().players(Sample({"x": np.zeros(4)}, "x")),
            InputMismatchError,
            r"features='pixels' needs a picture, a series or a volume, but input 'x' has the shape \('N', 4\)",
        ),
        (
            lambda: Features.columns([[0, 1], [1]]).players(Sample({"x": np.zeros(4)}, "x")),
            ParameterError,
            r"must contain columns in 0..3, each at most once. Got \(\(0, 1\), \(1,\)\) instead.",
        ),
        (lambda: Features.columns([[4]]).players(Sample({"x": np.zeros(4)}, "x")), ParameterError, "0..3"),
        (lambda: Features.columns([[]]).players(Sample({"x": np.zeros(4)}, "x")), ParameterError, "0..3"),
        (lambda: Features.of({"y": [0]}).players(sample()), UnknownNameError, "No input named 'y'. Known: x."),
        (
            lambda: Features.of(np.zeros((10, 12), int)).players(sample()),
            InputMismatchError,
            r"The label map of features has the shape \(10, 12\), which does not fit input 'x' of shape "
            r"\('N', 3, 12, 10\). Give one label for each element, or omit axes such as the channel.",
        ),
        (lambda: Features.of(np.zeros((1, 1, 3, 12, 10), int)).players(sample()), InputMismatchError, "does not fit"),
        (
            lambda: Features.of(np.zeros((3, 12, 10), int)).players(Sample({"x": PICTURE}, "x", None, 0, 3)),
            InputMismatchError,
            "may be one map for each of 3 samples, or one for each channel.",
        ),
    ],
)
def test_messages(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ("grid:3", Features.grid(3)),
        ("grid:2x4", Features.grid(2, 4)),
        ("windows:5", Features.windows(5)),
        ("windows:5x3", Features.windows((5, 3))),
        ("superpixels:9", Features.superpixels(count=9)),
        ("felzenszwalb:30", Features.superpixels("felzenszwalb", scale=30.0)),
    ],
)
def test_a_name_may_carry_numbers(given, same):
    sample = Sample({"x": np.random.default_rng(0).random((3, 24, 20)).astype(np.float32)}, "x")
    np.testing.assert_array_equal(Features.of(given).players(sample).maps["x"], same.players(sample).maps["x"])


@pytest.mark.parametrize(
    ("given", "forms"),
    [
        ("pixels:3", "'pixels'"),
        ("grid:", "'grid' or 'grid:6x8'"),
        ("grid:2x3x4", "'grid' or 'grid:6x8'"),
        ("superpixels:many", "'superpixels' or 'superpixels:100'"),
    ],
)
def test_numbers_that_a_name_does_not_take_are_refused(given, forms):
    name = given.partition(":")[0]
    with pytest.raises(
        ParameterError, match=f"The features '{name}' must be written as {forms}. Got '{given}' instead."
    ):
        Features.of(given)
