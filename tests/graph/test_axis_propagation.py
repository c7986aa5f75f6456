"""Which layers are maps: spatial axes followed through ops that merge, split, crop, transpose and join axes."""

import numpy as np
import pytest

import xaionnx
from tests.compilation.files import agree
from tests.tiny import loaded, normal
from tests.tolerances import Tolerance, assert_close
from xaionnx import Target
from xaionnx.autodiff import gradient
from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers.conductance import Conductance
from xaionnx.explainers.grad_cam import GradCam
from xaionnx.layers.axes import Axes
from xaionnx.render.layers import layer_of, over_picture

RNG = np.random.default_rng(4)
WEIGHTS = {
    "k1": RNG.normal(size=(8, 3, 3, 3)), "k2": RNG.normal(size=(8, 8, 3, 3)), "head": RNG.normal(size=(8, 4)),
    "scale": RNG.uniform(0.5, 1.5, 8), "shift": RNG.normal(size=8),
    # Channel 4 a + b moves to 2 b + a.
    "swap": np.eye(8)[np.arange(8).reshape(2, 4).T.ravel()][..., None, None],
}  # fmt: skip
# The same step between two convolutions, directly and in a form that merges or splits axes.
PLAIN = {
    "norm": "b = InstanceNormalization(a, scale, shift)",
    "shuffle": "b = Conv(a, swap)",
    "windows": "b = Relu(a)",
}
DISGUISED = {
    "norm": "rows = Reshape(a, merged)  n = InstanceNormalization(rows, scale, shift)  b = Reshape(n, back)",
    "shuffle": "g = Reshape(a, split)  t = Transpose<perm = [0, 2, 1, 3, 4]>(g)  b = Reshape(t, back)",
    "windows": """w = Reshape(a, parted)  s = Transpose<perm = [0, 2, 4, 1, 3, 5]>(w)  f = Reshape(s, inside)
      r = Relu(f)  u = Reshape(r, outside)  v = Transpose<perm = [0, 3, 1, 4, 2, 5]>(u)  b = Reshape(v, back)""",
}


def net(step, series=False):
    """A net for pictures of 8 x 12, or for series of 12 as pictures of height 1; the step follows a convolution."""
    size, ends = ([12], "1, 1") if series else ([8, 12], "1, 1, 1, 1")
    numbers = {"back": [-1, 8, *size], "merged": [0, 8, -1], "split": [0, 2, 4, *size]}
    numbers |= {"parted": [0, 8, 2, 4, 3, 4], "inside": [-1, 8, 16], "outside": [-1, 2, 3, 8, 4, 4]}
    constants = ", ".join(f"int64[{len(n)}] {name} = {{{', '.join(map(str, n))}}}" for name, n in numbers.items())
    spread = "[2]" if series else "[2, 3]"
    step = step.replace("2, 1, 3, 4]", "2, 1, 3]") if series else step
    text = f"""g (float[N, 3, {", ".join(map(str, size))}] x) => (float[N, 4] y) <{constants}> {{
      a = Conv<pads = [{ends}]>(x, k1)  {step}  c = Conv<pads = [{ends}]>(b, k2)  last = Relu(c)
      pooled = ReduceMean<axes = {spread}, keepdims = 0>(last)  y = MatMul(pooled, head) }}"""
    held = {n: w.sum(axis=2) if series and n in ("k1", "k2", "swap") else w for n, w in WEIGHTS.items()}
    return loaded(text, **held), normal(2, 3, *size)


@pytest.mark.parametrize(
    ("step", "series"), [("norm", False), ("shuffle", False), ("windows", False), ("norm", True), ("shuffle", True)]
)
def test_a_map_is_that_of_the_net_without_the_disguise(step, series):
    (plain, x), (other, _) = net(PLAIN[step], series), net(DISGUISED[step], series)
    for layer in (None, "b"):
        found, wanted = (GradCam(layer=layer, relu=False).attribute(m, x, 1) for m in (other, plain))
        assert found.provenance["seen_at"] == wanted.provenance["seen_at"]
        assert found.provenance["seen_at"]["name"] == (layer or "last")
        scale = np.abs(wanted.values).max()
        assert scale > 0
        assert_close(found.values / scale, wanted.values / scale, Tolerance.SIGNED_SUMS)


def test_windows_whose_sizes_are_computed():
    """As in a Swin transformer whose file computes the padding from the size of a tensor; here it is 0."""
    count = """dims = Shape(a)  h = Gather(dims, n2)  l = Gather(dims, n3)  hr = Mod(h, n4)  wr = Mod(l, n4)
      ends = Concat<axis = 0>(zeros, hr, wr)  padded = Pad(a, ends)  hs = Div(h, n4)  ws = Div(l, n4)
      parted = Concat<axis = 0>(front, hs, n4, ws, n4)  outside = Concat<axis = 0>(n1, hs, ws, n8, n4, n4)
      inside = Concat<axis = 0>(n1, n8, n16)  back = Concat<axis = 0>(n1, n8, h, l)  """
    step = count + DISGUISED["windows"].replace("Reshape(a, parted)", "Reshape(padded, parted)")
    text = f"""g (float[N, 3, 8, 12] x) => (float[N, 4] y)
    <int64[1] n1 = {{-1}}, int64[1] n2 = {{2}}, int64[1] n3 = {{3}}, int64[1] n4 = {{4}}, int64[1] n8 = {{8}},
     int64[1] n16 = {{16}}, int64[2] front = {{0, 8}}, int64[6] zeros = {{0, 0, 0, 0, 0, 0}}> {{
      a = Conv<pads = [1, 1, 1, 1]>(x, k1)  {step}  c = Conv<pads = [1, 1, 1, 1]>(b, k2)  last = Relu(c)
      pooled = ReduceMean<axes = [2, 3], keepdims = 0>(last)  y = MatMul(pooled, head) }}"""
    model, (plain, x) = loaded(text, **WEIGHTS), net(PLAIN["windows"])
    found, wanted = (GradCam(relu=False).attribute(m, x, 1) for m in (model, plain))
    assert found.provenance["seen_at"] == wanted.provenance["seen_at"]
    scale = np.abs(wanted.values).max()
    assert_close(found.values / scale, wanted.values / scale, Tolerance.SIGNED_SUMS)


# The shape after a step on a series of 12 numbers in 3 channels, and the roles of its axes.
CUTS = {
    "b = Slice(x, n3, n9, n2)": "--",
    "b = Slice(x, last, first, n2, last)": "--",
    "b = Slice(x, n0, n2, n1)": "CT",  # channels
    "b = Slice(x, n0, n12, n2, n2)": "CT",  # every second position
    "b, rest = Split<axis = 2>(x)": "--",
    "h = Conv(x, stride2)  b = Concat<axis = 2>(h, h)": "--",
    "b = Concat<axis = 1>(x, x)": "CT",
    "b = Tile(x, twice)": "--",
    "m = ReduceMean<axes = [2]>(x)  b = Expand(m, whole)": "--",
    "t = Transpose<perm = [2, 0, 1]>(x)  r = ReverseSequence(t, n12)  b = Transpose<perm = [1, 2, 0]>(r)": "--",
    "b = CumSum(x, n2)": "--",
    "p = Pad(x, ends)  b = Slice(p, n3, n15, n2)": "CT",  # the added border
    "p = Pad(x, ends)  b = Slice(p, n3, n9, n2)": "--",
    "b = Pad(x, ends)": "--",
    "b = Gather<axis = 2>(x, order)": "--",
    "t = Transpose<perm = [0, 2, 1]>(x)  b = MatMul(t, mixing)": "TC",
    "b = MatMul(x, along)": "--",
}


@pytest.mark.parametrize("step", CUTS)
def test_what_cuts_turns_or_joins_time_leaves_no_map(step):
    text = f"""g (float[1, 3, 12] x) => (float[1, 3] y)
    <int64[1] n0 = {{0}}, int64[1] n1 = {{1}}, int64[1] n2 = {{2}}, int64[1] n3 = {{3}}, int64[1] n9 = {{9}},
     int64[1] n12 = {{12}}, int64[1] n15 = {{15}}, int64[1] last = {{-1}}, int64[1] first = {{-99}},
     int64[3] twice = {{1, 1, 2}}, int64[3] whole = {{1, 3, 12}}, int64[6] ends = {{0, 0, 3, 0, 0, 3}},
     int64[12] order = {{11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}}> {{
      seen = Conv(x, stride2)  y = ReduceMean<axes = [2], keepdims = 0>(seen)  {step} }}"""
    weights = {"stride2": normal(3, 3, 1), "mixing": normal(3, 3), "along": normal(12, 12)}
    model = loaded(text, **weights)
    x = {"x": normal(1, 3, 12)}
    held = model.with_outputs(["b"]).run(x, ["b"])["b"].shape[1:]
    assert Axes.at(model, "b", held, model.samples(x)[0]).letters == CUTS[step]


def test_a_map_of_a_part_of_the_picture_is_refused():
    text = """g (float[N, 3, 16, 16] x) => (float[N, 4] y)
    <int64[2] b = {8, 8}, int64[2] e = {16, 16}, int64[2] a = {2, 3}> {
      part = Slice(x, b, e, a)  c = Conv<pads = [1, 1, 1, 1]>(part, k1)  r = Relu(c)
      p = ReduceMean<axes = [2, 3], keepdims = 0>(r)  y = MatMul(p, head) }"""
    model, x = loaded(text, k1=WEIGHTS["k1"], head=WEIGHTS["head"]), normal(1, 3, 16, 16)
    with pytest.raises(UnsupportedModelError, match=r"the positions of 'x', .*, end at Slice 'part'\. Use integrated"):
        GradCam().attribute(model, x, 0)
    with pytest.raises(UnsupportedModelError, match=r"Tensor 'r' .* has no spatial positions over the input, so"):
        GradCam(layer="r").attribute(model, x, 0)


def transformer(tokens):
    """Attention between tokens made of 4 x 4 patches in 6 numbers, whose mean is read."""
    weights = {name: RNG.normal(size=(6, 6)) for name in ("q", "k", "v", "w")} | {"head": RNG.normal(size=(6, 4))}
    text = f"""g (float[N, 1, 8, 8] x) => (float[N, 4] y)
    <int64[3] flat = {{0, 6, 16}}, int64[6] ends = {{0, 1, 0, 0, 0, 0}}, int64[1] n0 = {{0}}, int64[2] r = {{3, 6}}> {{
      cut = Conv<strides = [2, 2]>(x, patch)  rows = Reshape(cut, flat)  seen = Transpose<perm = [0, 2, 1]>(rows)
      {tokens}
      qs = MatMul(t, q)  ks = MatMul(t, k)  vs = MatMul(t, v)  kt = Transpose<perm = [0, 2, 1]>(ks)
      products = MatMul(qs, kt)  shares = Softmax(products)  mixed = MatMul(shares, vs)  sum = Add(mixed, t)
      more = MatMul(sum, w)  bent = Tanh(more)  after = Add(bent, sum)
      pooled = ReduceMean<axes = [1], keepdims = 0>(after)  y = MatMul(pooled, head) }}"""
    return loaded(text, patch=RNG.normal(size=(6, 1, 2, 2)), kept=RNG.normal(size=(1, 3, 6)), **weights)


# The batch is free, so only a run of the model shows how often the learned rows are repeated.
ENDS = """shape = Shape(x)  n = Gather(shape, n0)  all = Concat<axis = 0>(n, r)  kepts = Expand(kept, all)"""
JOINED = {
    "t = Identity(seen)": (0, 0),
    f"{ENDS}  t = Concat<axis = 1>(seen, kepts)": (0, 3),
    f"{ENDS}  t = Concat<axis = 1>(kepts, seen)": (3, 0),
    f"{ENDS}  led = Pad(seen, ends)  t = Concat<axis = 1>(led, kepts)": (1, 3),
}


@pytest.mark.parametrize("tokens", JOINED)
def test_tokens_on_either_side_of_the_patches(tokens):
    before, after = JOINED[tokens]
    model, x = transformer(tokens), normal(2, 1, 8, 8)
    found = GradCam(layer="after", relu=False).attribute(model, x, 1)
    assert found.provenance["seen_at"] == {
        "name": "after", "axes": "TD", "grid": [4, 4], "before": before, "after": after,
    }  # fmt: skip
    patches = slice(before, before + 16)
    held = model.with_outputs(["after"]).run({"x": x}, ["after"])["after"][:, patches].astype(np.float64)
    one = np.tile(np.float32([0, 1, 0, 0]), (2, 1))
    slope = gradient(model, "y", ["after"]).run({"x": x}, one)[1]["after"][:, patches]
    small = (held * slope.mean(axis=1, keepdims=True, dtype=np.float64)).sum(axis=2).reshape(2, 4, 4)
    assert_close(found.maps["cam"], small, Tolerance.SIGNED_LAYERS)
    agree(model, {"x": x}, GradCam(layer="after", relu=False), Target.index(1))
    rolled = xaionnx.explain(model, x, "attention_rollout", 1, row="mean")
    held = model.with_outputs(["shares"]).run({"x": x}, ["shares"])["shares"].astype(np.float64)
    mean = ((held + np.eye(held.shape[1])) / 2).mean(axis=1)[:, patches].reshape(2, 4, 4)
    assert_close(rolled.maps["tokens"], mean, Tolerance.LAYERS)
    drawn = Conductance(steps=2, layer="after").attribute(model, x, 1)
    _, words = over_picture(drawn.values[0], layer_of(drawn), 8, 8)
    assert ("The 3 tokens after them, " in words) == bool(after)


@pytest.mark.parametrize("count", [16, 20])
def test_learned_tokens_that_read_the_patches_have_no_place(count):
    """As many as there are patches, or more: the rows of attention belong to the queries, not to the keys."""
    text = """g (float[N, 1, 8, 8] x) => (float[N, 4] y) <int64[3] flat = {0, 6, 16}> {
      cut = Conv<strides = [2, 2]>(x, patch)  rows = Reshape(cut, flat)  seen = Transpose<perm = [0, 2, 1]>(rows)
      s = MatMul(asked, rows)  shares = Softmax(s)  t = MatMul(shares, seen)
      more = MatMul(t, w)  bent = Tanh(more)  after = Add(bent, t)
      pooled = ReduceMean<axes = [1], keepdims = 0>(after)  y = MatMul(pooled, head) }"""
    weights = {"asked": (1, count, 6), "patch": (6, 1, 2, 2), "w": (6, 6), "head": (6, 4)}
    model = loaded(text, **{name: RNG.normal(size=shape) for name, shape in weights.items()})
    for layer in ("t", "after"):
        with pytest.raises(UnsupportedModelError, match="has no spatial positions over the input"):
            GradCam(layer=layer).attribute(model, normal(2, 1, 8, 8), 0)
    # The last tensor with positions is the one that they read.
    assert GradCam().attribute(model, normal(2, 1, 8, 8), 0).provenance["seen_at"]["name"] == "cut"
    found = GradCam(layer="seen").attribute(model, normal(2, 1, 8, 8), 0)
    assert found.provenance["seen_at"]["grid"] == [4, 4]


def test_frames_of_a_spectrogram_lie_along_the_wave():
    frame = np.zeros((9, 41, 1), np.float32)
    frame[6] = 1
    model = loaded(
        """g (float[N, 400] x) => (float[N, 1] y) <int64[1] last = {2}, int64 hop = {40}, int64[1] parts = {3}> {
          u = Unsqueeze(x, last)  s = STFT(u, hop, window)  q = Mul(s, s)  p = ReduceSum<keepdims = 0>(q, parts)
          r = Sqrt(p)  f = Flatten(r)  y = MatMul(f, w) }""",
        window=np.ones(80),
        w=frame.reshape(-1, 1),
    )
    x = normal(1, 400)
    found = xaionnx.explain(model, x, "hi_res_cam", 0, layer="r", upsampling="nearest", relu=False)
    assert found.provenance["seen_at"]["axes"].startswith("T")
    (marked,) = np.nonzero(found.values[0])
    # Frame 6 of 9 begins at sample 240; the map spreads the frames over the wave.
    assert (marked[0], marked[-1]) == (267, 310)
