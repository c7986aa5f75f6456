"""Every method as a function, so that editors complete its settings and type checkers reject unknown ones.

``methods.lime(model, x, target, budget=500)`` is ``explain(model, x, "lime", target, budget=500)``.

These are functions instead of overloads of :func:`xaionnx.explain` because mypy, if no overload fits, lists all of them
and does not name the wrong setting. With functions it does; editors also complete the names of the methods, and help()
shows the settings of each. `Settings` has the settings of all methods, so that `explain` rejects a name that no method
has.

Generated from the dataclasses of the methods by .ci/signatures.py; change those, then run it with --write.
"""

# ruff: noqa: PLR0913 - the settings of a method, all by keyword

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

from xaionnx import explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xaionnx.autodiff.lrp import Composite
    from xaionnx.explanation import Explanation
    from xaionnx.typing import (
        BackgroundLike,
        BaselineLike,
        FeaturesLike,
        GradientLike,
        HierarchyLike,
        InputLike,
        LabelsLike,
        MaskerLike,
        MethodLike,
        MetricLike,
        ModelLike,
        NeuronLike,
        NoiseLike,
        PairsLike,
        PatternsLike,
        RowsLike,
        TargetLike,
    )


class Settings(TypedDict, total=False):
    """Settings of all methods."""

    absolute: bool
    activation: str | None
    alpha: float
    area: float
    areas: float | tuple[float, ...]
    background: BackgroundLike
    background_reduction: Literal["sample", "kmeans"]
    background_size: int | None
    baseline: BaselineLike
    batch: int
    beam: int
    budget: int | None
    centred: bool
    channel: int | None
    channels: Literal["max", "sum"] | int | None
    class_maps: bool
    composite: str | Composite
    concepts: str | None
    conditional: bool
    contrast: int | str | None
    correlated: float | None
    delta: float
    discard: float
    donors: RowsLike
    draws: int
    epsilon: float
    estimator: Literal["least_squares", "centred", "plain"]
    expectation: Literal["interventional", "conditional"]
    factor: Literal["difference", "none"]
    features: FeaturesLike
    fraction: float
    fuse: Literal["mean", "maximum"]
    gamma: float
    gap: float
    gradient: Literal["auto", "graph"] | GradientLike | None
    grid: int | tuple[int, ...]
    heads: Literal["mean", "max", "min"]
    hierarchy: HierarchyLike
    high: float | None
    incremental: bool
    index: Literal["k_sii", "sii", "stii", "fsii", "bii", "fbii"]
    inner: MethodLike | None
    interactions: bool
    jitter: float
    keep: float
    kernel: Literal["auto", "cosine", "l2", "uniform"]
    kernel_width: float | None
    l1: int | None
    labels: LabelsLike
    layer: str | Sequence[str] | None
    learning_rate: float
    low: float | None
    masker: MaskerLike
    max_dist: float
    max_sigma: float
    max_steps: int
    metric: MetricLike
    neighbourhood: Literal["removal", "bins"]
    neighbours: int
    neuron: NeuronLike
    noise: NoiseLike
    order: int
    overlap: Literal["mean", "sum"]
    pair_points: int
    pairs: PairsLike
    patches: Literal["auto", "scores", "alone", "covered"]
    patterns: PatternsLike
    perturbation: Literal["interventional", "path_dependent"]
    points: int
    power: int
    precision: float
    relative: bool
    relevances: str | None
    relu: bool
    replicates: int
    ridge: float
    row: Literal["auto", "first", "mean"]
    rule: Literal["trapezoid", "left", "middle", "right", "rescale", "reveal_cancel", "gauss_legendre"]
    scheme: Literal["antithetic", "orthogonal", "plain"]
    seed: int
    select: int | None
    selection: Literal["forward", "lasso_path", "weights"]
    sigma: float
    similar: int
    smallest: int
    softplus: float | None
    statistic: Literal["mean", "squared", "variance"]
    steps: int
    strength: float
    stride: int | tuple[int, ...] | None
    surrogate: Literal["ridge", "lasso", "tree"]
    threshold: float | None
    tolerance: float | None
    total_variation: float
    tree_depth: int
    upsampling: Literal["bilinear", "nearest"]
    variant: Literal["preserve", "delete"]
    weight: float
    weighting: Literal["equal", "probability"]
    window: int | tuple[int, ...] | None


def ablation_cam(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    layer: str | Sequence[str] | None = None,
    fuse: Literal["mean", "maximum"] = "mean",
    relu: bool = True,
    upsampling: Literal["bilinear", "nearest"] = "bilinear",
    channels: int | None = None,
) -> Explanation:
    """The channels of a layer, weighted by the relative drop of the target without each.

    See :class:`~xaionnx.explainers.ablation_cam.AblationCam`.
    """
    return explain(
        model, x, "ablation_cam", target, layer=layer, fuse=fuse, relu=relu, upsampling=upsampling, channels=channels
    )


def additive_shap(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    background: BackgroundLike = None,
    background_size: int | None = None,
    features: FeaturesLike = None,
) -> Explanation:
    """Exact Shapley values of a model that adds terms of one to three features each, which the graph shows.

    See :class:`~xaionnx.explainers.additive_shap.AdditiveShap`.
    """
    return explain(
        model, x, "additive_shap", target, background=background, background_size=background_size, features=features
    )


def anchors(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    background: BackgroundLike = None,
    background_size: int = 10000,
    baseline: BaselineLike = None,
    background_reduction: Literal["sample", "kmeans"] = "sample",
    expectation: Literal["interventional", "conditional"] = "interventional",
    neighbours: int = 10,
    seed: int = 0,
    features: FeaturesLike = None,
    layer: str | None = None,
    budget: int = 20000,
    precision: float = 0.95,
    delta: float = 0.1,
    gap: float = 0.05,
    epsilon: float = 0.15,
    beam: int = 4,
    batch: int = 32,
    threshold: float | None = None,
) -> Explanation:
    """The rule of largest coverage whose precision is at least ``precision``.

    See :class:`~xaionnx.explainers.anchors.Anchors`.
    """
    return explain(
        model,
        x,
        "anchors",
        target,
        background=background,
        background_size=background_size,
        baseline=baseline,
        background_reduction=background_reduction,
        expectation=expectation,
        neighbours=neighbours,
        seed=seed,
        features=features,
        layer=layer,
        budget=budget,
        precision=precision,
        delta=delta,
        gap=gap,
        epsilon=epsilon,
        beam=beam,
        batch=batch,
        threshold=threshold,
    )


def attention_relevance(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    row: Literal["auto", "first", "mean"] = "auto",
) -> Explanation:
    """How much attention to each token raises the target, through the layers l = 1 to L of an encoder.

    See :class:`~xaionnx.explainers.attention_relevance.AttentionRelevance`.
    """
    return explain(model, x, "attention_relevance", target, row=row)


def attention_rollout(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    row: Literal["auto", "first", "mean"] = "auto",
    heads: Literal["mean", "max", "min"] = "mean",
    discard: float = 0.0,
) -> Explanation:
    """The share of each token in those that the head reads, by multiplying attention over the layers 1 to L.

    See :class:`~xaionnx.explainers.attention_rollout.AttentionRollout`.
    """
    return explain(model, x, "attention_rollout", target, row=row, heads=heads, discard=discard)


def banzhaf(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    background_reduction: Literal["sample", "kmeans"] = "sample",
    expectation: Literal["interventional", "conditional"] = "interventional",
    neighbours: int = 10,
    seed: int = 0,
    features: FeaturesLike = None,
    layer: str | None = None,
    budget: int | None = None,
    tolerance: float | None = None,
) -> Explanation:
    """The mean contribution of each player over all coalitions of the others, with equal weights.

    See :class:`~xaionnx.explainers.banzhaf.Banzhaf`.
    """
    return explain(
        model,
        x,
        "banzhaf",
        target,
        background=background,
        background_size=background_size,
        baseline=baseline,
        background_reduction=background_reduction,
        expectation=expectation,
        neighbours=neighbours,
        seed=seed,
        features=features,
        layer=layer,
        budget=budget,
        tolerance=tolerance,
    )


def blur_ig(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    gradient: GradientLike = "auto",
    steps: int = 100,
    max_sigma: float = 50.0,
) -> Explanation:
    """The contribution of each element to the change of the target from the blurred input to the input x.

    See :class:`~xaionnx.explainers.blur_ig.BlurIG`.
    """
    return explain(model, x, "blur_ig", target, gradient=gradient, steps=steps, max_sigma=max_sigma)


def cam(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    layer: str | Sequence[str] | None = None,
    fuse: Literal["mean", "maximum"] = "mean",
    relu: bool = False,
    upsampling: Literal["bilinear", "nearest"] = "bilinear",
    gradient: GradientLike = "auto",
) -> Explanation:
    """The channels before global average pooling, with the weights of the linear layer after it.

    See :class:`~xaionnx.explainers.cam.Cam`.
    """
    return explain(model, x, "cam", target, layer=layer, fuse=fuse, relu=relu, upsampling=upsampling, gradient=gradient)


def causal_cam(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    layer: str | Sequence[str] | None = None,
    fuse: Literal["mean", "maximum"] = "mean",
    relu: bool = True,
    upsampling: Literal["bilinear", "nearest"] = "bilinear",
    gradient: GradientLike = "auto",
) -> Explanation:
    """Grad-CAM of the target P minus the context, which also supports other classes Q.

    See :class:`~xaionnx.explainers.causal_cam.CausalCam`.
    """
    return explain(
        model, x, "causal_cam", target, layer=layer, fuse=fuse, relu=relu, upsampling=upsampling, gradient=gradient
    )


def conductance(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    gradient: GradientLike = "auto",
    layer: str | Sequence[str] | None = None,
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    seed: int = 0,
    steps: int = 32,
    rule: Literal["trapezoid", "left", "middle", "right"] = "trapezoid",
) -> Explanation:
    """The contribution of each unit j of a layer h to the change of the target from the baseline b to the input x.

    See :class:`~xaionnx.explainers.conductance.Conductance`.
    """
    return explain(
        model,
        x,
        "conductance",
        target,
        gradient=gradient,
        layer=layer,
        background=background,
        background_size=background_size,
        baseline=baseline,
        seed=seed,
        steps=steps,
        rule=rule,
    )


def contrast_cam(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    layer: str | Sequence[str] | None = None,
    fuse: Literal["mean", "maximum"] = "mean",
    relu: bool = True,
    upsampling: Literal["bilinear", "nearest"] = "bilinear",
    gradient: GradientLike = "auto",
    contrast: int | str | None = None,
) -> Explanation:
    """Grad-CAM of the loss for class Q: what would have to change for the model to predict Q instead of P.

    See :class:`~xaionnx.explainers.contrast_cam.ContrastCam`.
    """
    return explain(
        model,
        x,
        "contrast_cam",
        target,
        layer=layer,
        fuse=fuse,
        relu=relu,
        upsampling=upsampling,
        gradient=gradient,
        contrast=contrast,
    )


def counterfactual_cam(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    layer: str | Sequence[str] | None = None,
    fuse: Literal["mean", "maximum"] = "mean",
    relu: bool = True,
    upsampling: Literal["bilinear", "nearest"] = "bilinear",
    gradient: GradientLike = "auto",
) -> Explanation:
    """Grad-CAM of the negative target: the regions whose removal would raise the target.

    See :class:`~xaionnx.explainers.counterfactual_cam.CounterfactualCam`.
    """
    return explain(
        model,
        x,
        "counterfactual_cam",
        target,
        layer=layer,
        fuse=fuse,
        relu=relu,
        upsampling=upsampling,
        gradient=gradient,
    )


def d_rise(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    background_reduction: Literal["sample", "kmeans"] = "sample",
    expectation: Literal["interventional", "conditional"] = "interventional",
    neighbours: int = 10,
    seed: int = 0,
    budget: int | None = None,
    tolerance: float | None = None,
    estimator: Literal["least_squares", "centred", "plain"] = "least_squares",
    grid: int | tuple[int, ...] = 16,
    keep: float = 0.5,
) -> Explanation:
    """The effect of showing each pixel on one detection: RISE of the similarity S of the boxes found to that one.

    See :class:`~xaionnx.explainers.d_rise.DRise`.
    """
    return explain(
        model,
        x,
        "d_rise",
        target,
        background=background,
        background_size=background_size,
        baseline=baseline,
        background_reduction=background_reduction,
        expectation=expectation,
        neighbours=neighbours,
        seed=seed,
        budget=budget,
        tolerance=tolerance,
        estimator=estimator,
        grid=grid,
        keep=keep,
    )


def deconvnet(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    gradient: Literal["auto", "graph"] = "auto",
    layer: str | Sequence[str] | None = None,
) -> Explanation:
    """Backpropagation that rectifies the backward signal wherever the model rectifies.

    See :class:`~xaionnx.explainers.deconvnet.Deconvnet`.
    """
    return explain(model, x, "deconvnet", target, gradient=gradient, layer=layer)


def deep_lift(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    gradient: Literal["auto", "graph"] = "auto",
    layer: str | Sequence[str] | None = None,
    factor: Literal["difference", "none"] = "difference",
    background: BackgroundLike = None,
    background_size: int | None = 100,
    rule: Literal["rescale", "reveal_cancel"] = "rescale",
    baseline: BaselineLike = None,
    seed: int = 0,
) -> Explanation:
    """The contribution of each element's difference from a baseline b to that of the target, by multipliers m.

    See :class:`~xaionnx.explainers.deep_lift.DeepLift`.
    """
    return explain(
        model,
        x,
        "deep_lift",
        target,
        gradient=gradient,
        layer=layer,
        factor=factor,
        background=background,
        background_size=background_size,
        rule=rule,
        baseline=baseline,
        seed=seed,
    )


def dependence(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    background: BackgroundLike = None,
    background_size: int = 10000,
    features: FeaturesLike = None,
    layer: str | None = None,
    points: int = 20,
    pairs: PairsLike = None,
    pair_points: int = 10,
    seed: int = 0,
) -> Explanation:
    """How much the mean target varies with each feature, and the curves that say how, for all samples together.

    See :class:`~xaionnx.explainers.dependence.Dependence`.
    """
    return explain(
        model,
        x,
        "dependence",
        target,
        background=background,
        background_size=background_size,
        features=features,
        layer=layer,
        points=points,
        pairs=pairs,
        pair_points=pair_points,
        seed=seed,
    )


def eigen_cam(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    layer: str | Sequence[str] | None = None,
    fuse: Literal["mean", "maximum"] = "mean",
    relu: bool = False,
    upsampling: Literal["bilinear", "nearest"] = "bilinear",
    centred: bool = False,
) -> Explanation:
    """The first principal component of a layer: its positions projected on the first right singular vector.

    See :class:`~xaionnx.explainers.eigen_cam.EigenCam`.
    """
    return explain(
        model, x, "eigen_cam", target, layer=layer, fuse=fuse, relu=relu, upsampling=upsampling, centred=centred
    )


def eigen_grad_cam(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    layer: str | Sequence[str] | None = None,
    fuse: Literal["mean", "maximum"] = "mean",
    relu: bool = True,
    upsampling: Literal["bilinear", "nearest"] = "bilinear",
    gradient: GradientLike = "auto",
    centred: bool = False,
) -> Explanation:
    """Eigen-CAM of the gradient times the activation, which makes it depend on the target.

    See :class:`~xaionnx.explainers.eigen_grad_cam.EigenGradCam`.
    """
    return explain(
        model,
        x,
        "eigen_grad_cam",
        target,
        layer=layer,
        fuse=fuse,
        relu=relu,
        upsampling=upsampling,
        gradient=gradient,
        centred=centred,
    )


def exact_shapley(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    background_reduction: Literal["sample", "kmeans"] = "sample",
    expectation: Literal["interventional", "conditional"] = "interventional",
    neighbours: int = 10,
    seed: int = 0,
    features: FeaturesLike = None,
    layer: str | None = None,
) -> Explanation:
    """Shapley values: the mean contribution of each player over all orders in which the players may join.

    See :class:`~xaionnx.explainers.exact_shapley.ExactShapley`.
    """
    return explain(
        model,
        x,
        "exact_shapley",
        target,
        background=background,
        background_size=background_size,
        baseline=baseline,
        background_reduction=background_reduction,
        expectation=expectation,
        neighbours=neighbours,
        seed=seed,
        features=features,
        layer=layer,
    )


def expected_gradients(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    gradient: GradientLike = "auto",
    layer: str | Sequence[str] | None = None,
    factor: Literal["difference", "none"] = "difference",
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    seed: int = 0,
    draws: int = 200,
) -> Explanation:
    """The contribution of each element to the change of the target from random baselines b to the input x.

    See :class:`~xaionnx.explainers.expected_gradients.ExpectedGradients`.
    """
    return explain(
        model,
        x,
        "expected_gradients",
        target,
        gradient=gradient,
        layer=layer,
        factor=factor,
        background=background,
        background_size=background_size,
        baseline=baseline,
        seed=seed,
        draws=draws,
    )


def extremal_masks(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    gradient: GradientLike = "auto",
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    seed: int = 0,
    steps: int = 100,
    grid: int = 28,
    jitter: float = 0.018,
    learning_rate: float = 0.1,
    areas: float | tuple[float, ...] = (0.05, 0.1, 0.2),
    variant: Literal["preserve", "delete"] = "preserve",
    weight: float = 300.0,
    sigma: float = 0.094,
) -> Explanation:
    """The mean over areas a of the masks m_a of that area that keep most of the target.

    See :class:`~xaionnx.explainers.extremal_masks.ExtremalMasks`.
    """
    return explain(
        model,
        x,
        "extremal_masks",
        target,
        gradient=gradient,
        background=background,
        background_size=background_size,
        baseline=baseline,
        seed=seed,
        steps=steps,
        grid=grid,
        jitter=jitter,
        learning_rate=learning_rate,
        areas=areas,
        variant=variant,
        weight=weight,
        sigma=sigma,
    )


def feature_ablation(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    background_reduction: Literal["sample", "kmeans"] = "sample",
    expectation: Literal["interventional", "conditional"] = "interventional",
    neighbours: int = 10,
    seed: int = 0,
    features: FeaturesLike = None,
    layer: str | None = None,
) -> Explanation:
    """The drop of the target when one player is replaced by its baseline.

    See :class:`~xaionnx.explainers.feature_ablation.FeatureAblation`.
    """
    return explain(
        model,
        x,
        "feature_ablation",
        target,
        background=background,
        background_size=background_size,
        baseline=baseline,
        background_reduction=background_reduction,
        expectation=expectation,
        neighbours=neighbours,
        seed=seed,
        features=features,
        layer=layer,
    )


def feature_permutation(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    features: FeaturesLike = None,
    layer: str | None = None,
    draws: int = 1,
    donors: RowsLike = None,
    metric: MetricLike = None,
    labels: LabelsLike = None,
    correlated: float | None = None,
    conditional: bool = False,
    seed: int = 0,
) -> Explanation:
    """The drop of the target when player i takes its values from another sample of the batch.

    See :class:`~xaionnx.explainers.feature_permutation.FeaturePermutation`.
    """
    return explain(
        model,
        x,
        "feature_permutation",
        target,
        features=features,
        layer=layer,
        draws=draws,
        donors=donors,
        metric=metric,
        labels=labels,
        correlated=correlated,
        conditional=conditional,
        seed=seed,
    )


def finer_cam(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    layer: str | Sequence[str] | None = None,
    fuse: Literal["mean", "maximum"] = "mean",
    relu: bool = True,
    upsampling: Literal["bilinear", "nearest"] = "bilinear",
    gradient: GradientLike = "auto",
    similar: int = 3,
    strength: float = 0.6,
    weighting: Literal["equal", "probability"] = "probability",
) -> Explanation:
    """Grad-CAM of the score of class c minus the scores of the most similar classes d.

    See :class:`~xaionnx.explainers.finer_cam.FinerCam`.
    """
    return explain(
        model,
        x,
        "finer_cam",
        target,
        layer=layer,
        fuse=fuse,
        relu=relu,
        upsampling=upsampling,
        gradient=gradient,
        similar=similar,
        strength=strength,
        weighting=weighting,
    )


def full_grad(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    upsampling: Literal["bilinear", "nearest"] = "bilinear",
) -> Explanation:
    """The sum of maps of the input and of every bias, each times its gradient.

    See :class:`~xaionnx.explainers.full_grad.FullGrad`.
    """
    return explain(model, x, "full_grad", target, upsampling=upsampling)


def grad_cam(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    layer: str | Sequence[str] | None = None,
    fuse: Literal["mean", "maximum"] = "mean",
    relu: bool = True,
    upsampling: Literal["bilinear", "nearest"] = "bilinear",
    gradient: GradientLike = "auto",
) -> Explanation:
    """The channels of a layer, weighted by the mean gradient of the target over each channel.

    See :class:`~xaionnx.explainers.grad_cam.GradCam`.
    """
    return explain(
        model, x, "grad_cam", target, layer=layer, fuse=fuse, relu=relu, upsampling=upsampling, gradient=gradient
    )


def grad_cam_pp(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    layer: str | Sequence[str] | None = None,
    fuse: Literal["mean", "maximum"] = "mean",
    relu: bool = True,
    upsampling: Literal["bilinear", "nearest"] = "bilinear",
    gradient: GradientLike = "auto",
) -> Explanation:
    """Grad-CAM with gradients averaged with a weight per position, so that objects of any size count.

    See :class:`~xaionnx.explainers.grad_cam_pp.GradCamPp`.
    """
    return explain(
        model, x, "grad_cam_pp", target, layer=layer, fuse=fuse, relu=relu, upsampling=upsampling, gradient=gradient
    )


def guided_backprop(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    gradient: Literal["auto", "graph"] = "auto",
    layer: str | Sequence[str] | None = None,
) -> Explanation:
    """Backpropagation that passes a rectifier only if its input and the signal are positive.

    See :class:`~xaionnx.explainers.guided_backprop.GuidedBackprop`.
    """
    return explain(model, x, "guided_backprop", target, gradient=gradient, layer=layer)


def guided_grad_cam(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    layer: str | Sequence[str] | None = None,
    fuse: Literal["mean", "maximum"] = "mean",
    relu: bool = True,
    upsampling: Literal["bilinear", "nearest"] = "bilinear",
) -> Explanation:
    """Guided backpropagation times upsampled Grad-CAM, element by element.

    See :class:`~xaionnx.explainers.guided_grad_cam.GuidedGradCam`.
    """
    return explain(model, x, "guided_grad_cam", target, layer=layer, fuse=fuse, relu=relu, upsampling=upsampling)


def guided_ig(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    gradient: GradientLike = "auto",
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    seed: int = 0,
    steps: int = 200,
    fraction: float = 0.25,
    max_dist: float = 0.02,
) -> Explanation:
    """The contribution of each element to the change of the target along an adaptive path from a baseline b to x.

    See :class:`~xaionnx.explainers.guided_ig.GuidedIG`.
    """
    return explain(
        model,
        x,
        "guided_ig",
        target,
        gradient=gradient,
        background=background,
        background_size=background_size,
        baseline=baseline,
        seed=seed,
        steps=steps,
        fraction=fraction,
        max_dist=max_dist,
    )


def hi_res_cam(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    layer: str | Sequence[str] | None = None,
    fuse: Literal["mean", "maximum"] = "mean",
    relu: bool = False,
    upsampling: Literal["bilinear", "nearest"] = "bilinear",
    gradient: GradientLike = "auto",
) -> Explanation:
    """The gradient times the activation at each position, summed over the channels.

    See :class:`~xaionnx.explainers.hi_res_cam.HiResCam`.
    """
    return explain(
        model, x, "hi_res_cam", target, layer=layer, fuse=fuse, relu=relu, upsampling=upsampling, gradient=gradient
    )


def input_x_gradient(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    gradient: GradientLike = "auto",
    layer: str | Sequence[str] | None = None,
) -> Explanation:
    """The gradient times the input.

    See :class:`~xaionnx.explainers.input_x_gradient.InputXGradient`.
    """
    return explain(model, x, "input_x_gradient", target, gradient=gradient, layer=layer)


def integrated_gradients(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    gradient: GradientLike = "auto",
    layer: str | Sequence[str] | None = None,
    factor: Literal["difference", "none"] = "difference",
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    seed: int = 0,
    steps: int = 128,
    rule: Literal["gauss_legendre", "trapezoid", "left", "middle", "right"] = "gauss_legendre",
    tolerance: float | None = None,
    max_steps: int = 1024,
) -> Explanation:
    """The contribution of each element to the change of the target from the baseline b to the input x.

    See :class:`~xaionnx.explainers.integrated_gradients.IntegratedGradients`.
    """
    return explain(
        model,
        x,
        "integrated_gradients",
        target,
        gradient=gradient,
        layer=layer,
        factor=factor,
        background=background,
        background_size=background_size,
        baseline=baseline,
        seed=seed,
        steps=steps,
        rule=rule,
        tolerance=tolerance,
        max_steps=max_steps,
    )


def integrated_hessians(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    gradient: GradientLike = "auto",
    layer: str | Sequence[str] | None = None,
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    seed: int = 0,
    features: FeaturesLike = None,
    steps: int = 64,
    softplus: float | None = 100.0,
) -> Explanation:
    """Interactions of pairs of players: integrated gradients of the integrated gradients of each player.

    See :class:`~xaionnx.explainers.integrated_hessians.IntegratedHessians`.
    """
    return explain(
        model,
        x,
        "integrated_hessians",
        target,
        gradient=gradient,
        layer=layer,
        background=background,
        background_size=background_size,
        baseline=baseline,
        seed=seed,
        features=features,
        steps=steps,
        softplus=softplus,
    )


def internal_influence(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    gradient: GradientLike = "auto",
    layer: str | Sequence[str] | None = None,
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    seed: int = 0,
    steps: int = 32,
    rule: Literal["gauss_legendre", "trapezoid", "left", "middle", "right"] = "gauss_legendre",
) -> Explanation:
    """The mean gradient of the target with respect to each unit j of a layer h, from the baseline b to the input x.

    See :class:`~xaionnx.explainers.internal_influence.InternalInfluence`.
    """
    return explain(
        model,
        x,
        "internal_influence",
        target,
        gradient=gradient,
        layer=layer,
        background=background,
        background_size=background_size,
        baseline=baseline,
        seed=seed,
        steps=steps,
        rule=rule,
    )


def kernel_shap(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    background_reduction: Literal["sample", "kmeans"] = "sample",
    expectation: Literal["interventional", "conditional"] = "interventional",
    neighbours: int = 10,
    seed: int = 0,
    features: FeaturesLike = None,
    layer: str | None = None,
    budget: int | None = None,
    tolerance: float | None = None,
    l1: int | None = None,
    ridge: float = 0.0,
) -> Explanation:
    """Shapley values as the weighted least-squares fit of a linear game to the game.

    See :class:`~xaionnx.explainers.kernel_shap.KernelShap`.
    """
    return explain(
        model,
        x,
        "kernel_shap",
        target,
        background=background,
        background_size=background_size,
        baseline=baseline,
        background_reduction=background_reduction,
        expectation=expectation,
        neighbours=neighbours,
        seed=seed,
        features=features,
        layer=layer,
        budget=budget,
        tolerance=tolerance,
        l1=l1,
        ridge=ridge,
    )


def layer_activation(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    layer: str | Sequence[str] | None = None,
) -> Explanation:
    """The values of a tensor inside the model at the input x.

    See :class:`~xaionnx.explainers.layer_activation.LayerActivation`.
    """
    return explain(model, x, "layer_activation", target, layer=layer)


def layer_cam(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    layer: str | Sequence[str] | None = None,
    fuse: Literal["mean", "maximum"] = "mean",
    relu: bool = True,
    upsampling: Literal["bilinear", "nearest"] = "bilinear",
    gradient: GradientLike = "auto",
) -> Explanation:
    """The activation times the positive part of the gradient at each position.

    See :class:`~xaionnx.explainers.layer_cam.LayerCam`.
    """
    return explain(
        model, x, "layer_cam", target, layer=layer, fuse=fuse, relu=relu, upsampling=upsampling, gradient=gradient
    )


def lime(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    background: BackgroundLike = None,
    background_size: int | None = None,
    baseline: BaselineLike = None,
    background_reduction: Literal["sample", "kmeans"] = "sample",
    expectation: Literal["interventional", "conditional"] = "interventional",
    neighbours: int = 10,
    seed: int = 0,
    features: FeaturesLike = None,
    layer: str | None = None,
    budget: int | None = None,
    tolerance: float | None = None,
    neighbourhood: Literal["removal", "bins"] = "removal",
    kernel: Literal["auto", "cosine", "l2", "uniform"] = "auto",
    kernel_width: float | None = None,
    surrogate: Literal["ridge", "lasso", "tree"] = "ridge",
    tree_depth: int = 4,
    alpha: float = 1.0,
    select: int | None = None,
    selection: Literal["forward", "lasso_path", "weights"] = "forward",
) -> Explanation:
    """The coefficients b of a local linear model of the target over present and removed features.

    See :class:`~xaionnx.explainers.lime.Lime`.
    """
    return explain(
        model,
        x,
        "lime",
        target,
        background=background,
        background_size=background_size,
        baseline=baseline,
        background_reduction=background_reduction,
        expectation=expectation,
        neighbours=neighbours,
        seed=seed,
        features=features,
        layer=layer,
        budget=budget,
        tolerance=tolerance,
        neighbourhood=neighbourhood,
        kernel=kernel,
        kernel_width=kernel_width,
        surrogate=surrogate,
        tree_depth=tree_depth,
        alpha=alpha,
        select=select,
        selection=selection,
    )


def linear_shap(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    background: BackgroundLike = None,
    background_size: int | None = None,
    features: FeaturesLike = None,
) -> Explanation:
    """Weights times the distance from the mean of the background, of a model that the graph shows to be linear.

    See :class:`~xaionnx.explainers.linear_shap.LinearShap`.
    """
    return explain(
        model, x, "linear_shap", target, background=background, background_size=background_size, features=features
    )


def local_evidence(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    background_reduction: Literal["sample", "kmeans"] = "sample",
    expectation: Literal["interventional", "conditional"] = "interventional",
    neighbours: int = 10,
    seed: int = 0,
    patches: Literal["auto", "scores", "alone", "covered"] = "auto",
    window: int | tuple[int, ...] | None = None,
    stride: int | tuple[int, ...] | None = None,
    relative: bool = False,
    layer: str | None = None,
) -> Explanation:
    """The target of each q x q patch alone, assigned to the pixels of the patch.

    See :class:`~xaionnx.explainers.local_evidence.LocalEvidence`.
    """
    return explain(
        model,
        x,
        "local_evidence",
        target,
        background=background,
        background_size=background_size,
        baseline=baseline,
        background_reduction=background_reduction,
        expectation=expectation,
        neighbours=neighbours,
        seed=seed,
        patches=patches,
        window=window,
        stride=stride,
        relative=relative,
        layer=layer,
    )


def lrp(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    gradient: Literal["auto", "graph"] = "auto",
    layer: str | Sequence[str] | None = None,
    composite: str | Composite = "epsilon_plus",
    epsilon: float = 1e-06,
    relative: bool = True,
    gamma: float = 0.25,
    low: float | None = None,
    high: float | None = None,
) -> Explanation:
    """Relevance, which each layer redistributes to its inputs in proportion to their contributions.

    See :class:`~xaionnx.explainers.lrp.Lrp`.
    """
    return explain(
        model,
        x,
        "lrp",
        target,
        gradient=gradient,
        layer=layer,
        composite=composite,
        epsilon=epsilon,
        relative=relative,
        gamma=gamma,
        low=low,
        high=high,
    )


def masker(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    masker: MaskerLike = None,
) -> Explanation:
    """The share of each position that a trained network keeps, so that the class is seen by it and not without it.

    See :class:`~xaionnx.explainers.masker.LearnedMask`.
    """
    return explain(model, x, "masker", target, masker=masker)


def meaningful_perturbation(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    gradient: GradientLike = "auto",
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    seed: int = 0,
    steps: int = 100,
    grid: int = 28,
    jitter: float = 0.018,
    learning_rate: float = 0.1,
    area: float = 0.6,
    total_variation: float = 8.0,
    power: int = 3,
    sigma: float = 0.022,
) -> Explanation:
    """The share of each position that the smallest smooth mask removes to take the target away.

    See :class:`~xaionnx.explainers.meaningful_perturbation.MeaningfulPerturbation`.
    """
    return explain(
        model,
        x,
        "meaningful_perturbation",
        target,
        gradient=gradient,
        background=background,
        background_size=background_size,
        baseline=baseline,
        seed=seed,
        steps=steps,
        grid=grid,
        jitter=jitter,
        learning_rate=learning_rate,
        area=area,
        total_variation=total_variation,
        power=power,
        sigma=sigma,
    )


def neuron_conductance(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    gradient: GradientLike = "auto",
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    seed: int = 0,
    neuron: NeuronLike = None,
    steps: int = 64,
    rule: Literal["gauss_legendre", "trapezoid", "left", "middle", "right"] = "gauss_legendre",
) -> Explanation:
    """The contribution of each element of the input through one neuron h_j, from the baseline b to the input x.

    See :class:`~xaionnx.explainers.neuron_conductance.NeuronConductance`.
    """
    return explain(
        model,
        x,
        "neuron_conductance",
        target,
        gradient=gradient,
        background=background,
        background_size=background_size,
        baseline=baseline,
        seed=seed,
        neuron=neuron,
        steps=steps,
        rule=rule,
    )


def occlusion(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    background_reduction: Literal["sample", "kmeans"] = "sample",
    expectation: Literal["interventional", "conditional"] = "interventional",
    neighbours: int = 10,
    seed: int = 0,
    window: int | tuple[int, ...] | None = None,
    stride: int | tuple[int, ...] | None = None,
    overlap: Literal["mean", "sum"] = "mean",
    class_maps: bool = True,
    incremental: bool = False,
    activation: str | None = None,
    channel: int | None = None,
    layer: str | None = None,
) -> Explanation:
    """The drop of the target when a window is covered by the baseline, assigned to the pixels in the window.

    See :class:`~xaionnx.explainers.occlusion.Occlusion`.
    """
    return explain(
        model,
        x,
        "occlusion",
        target,
        background=background,
        background_size=background_size,
        baseline=baseline,
        background_reduction=background_reduction,
        expectation=expectation,
        neighbours=neighbours,
        seed=seed,
        window=window,
        stride=stride,
        overlap=overlap,
        class_maps=class_maps,
        incremental=incremental,
        activation=activation,
        channel=channel,
        layer=layer,
    )


def partition_shap(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    background_reduction: Literal["sample", "kmeans"] = "sample",
    expectation: Literal["interventional", "conditional"] = "interventional",
    neighbours: int = 10,
    seed: int = 0,
    features: FeaturesLike = None,
    layer: str | None = None,
    budget: int | None = None,
    hierarchy: HierarchyLike = None,
) -> Explanation:
    """Owen values: the mean contribution of a player over all orders in which groups stay together, at each level.

    See :class:`~xaionnx.explainers.partition_shap.PartitionShap`.
    """
    return explain(
        model,
        x,
        "partition_shap",
        target,
        background=background,
        background_size=background_size,
        baseline=baseline,
        background_reduction=background_reduction,
        expectation=expectation,
        neighbours=neighbours,
        seed=seed,
        features=features,
        layer=layer,
        budget=budget,
        hierarchy=hierarchy,
    )


def pattern_attribution(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    gradient: Literal["auto", "graph"] = "auto",
    layer: str | Sequence[str] | None = None,
    patterns: PatternsLike = None,
) -> Explanation:
    """The contribution of the signal in each element to the target, by weights and patterns.

    See :class:`~xaionnx.explainers.pattern_attribution.PatternAttribution`.
    """
    return explain(model, x, "pattern_attribution", target, gradient=gradient, layer=layer, patterns=patterns)


def pattern_net(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    gradient: Literal["auto", "graph"] = "auto",
    layer: str | Sequence[str] | None = None,
    patterns: PatternsLike = None,
) -> Explanation:
    """An estimate of the signal in the input on which the target depends.

    See :class:`~xaionnx.explainers.pattern_net.PatternNet`.
    """
    return explain(model, x, "pattern_net", target, gradient=gradient, layer=layer, patterns=patterns)


def rise(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    background_reduction: Literal["sample", "kmeans"] = "sample",
    expectation: Literal["interventional", "conditional"] = "interventional",
    neighbours: int = 10,
    seed: int = 0,
    budget: int | None = None,
    tolerance: float | None = None,
    estimator: Literal["least_squares", "centred", "plain"] = "least_squares",
    grid: int | tuple[int, ...] = 7,
    keep: float = 0.5,
) -> Explanation:
    """The effect of showing each pixel on the target, estimated from random smooth masks M_1 .. M_m.

    See :class:`~xaionnx.explainers.rise.Rise`.
    """
    return explain(
        model,
        x,
        "rise",
        target,
        background=background,
        background_size=background_size,
        baseline=baseline,
        background_reduction=background_reduction,
        expectation=expectation,
        neighbours=neighbours,
        seed=seed,
        budget=budget,
        tolerance=tolerance,
        estimator=estimator,
        grid=grid,
        keep=keep,
    )


def saliency(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    gradient: GradientLike = "auto",
    layer: str | Sequence[str] | None = None,
    absolute: bool = True,
) -> Explanation:
    """The gradient of the target with respect to each element of the input.

    See :class:`~xaionnx.explainers.saliency.Saliency`.
    """
    return explain(model, x, "saliency", target, gradient=gradient, layer=layer, absolute=absolute)


def score_cam(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    layer: str | Sequence[str] | None = None,
    fuse: Literal["mean", "maximum"] = "mean",
    relu: bool = True,
    upsampling: Literal["bilinear", "nearest"] = "bilinear",
    channels: int | None = None,
    baseline: BaselineLike = None,
    seed: int = 0,
) -> Explanation:
    """The channels of a layer, weighted by the target of the input masked with each.

    See :class:`~xaionnx.explainers.score_cam.ScoreCam`.
    """
    return explain(
        model,
        x,
        "score_cam",
        target,
        layer=layer,
        fuse=fuse,
        relu=relu,
        upsampling=upsampling,
        channels=channels,
        baseline=baseline,
        seed=seed,
    )


def senn(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    concepts: str | None = None,
    relevances: str | None = None,
) -> Explanation:
    """What each concept h_k of a self-explaining network adds to the score of a class c.

    See :class:`~xaionnx.explainers.senn.SelfExplanation`.
    """
    return explain(model, x, "senn", target, concepts=concepts, relevances=relevances)


def shapley_interactions(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    background_reduction: Literal["sample", "kmeans"] = "sample",
    expectation: Literal["interventional", "conditional"] = "interventional",
    neighbours: int = 10,
    seed: int = 0,
    features: FeaturesLike = None,
    layer: str | None = None,
    budget: int | None = None,
    tolerance: float | None = None,
    index: Literal["k_sii", "sii", "stii", "fsii", "bii", "fbii"] = "k_sii",
    order: int = 2,
) -> Explanation:
    """Interactions of sets S of up to 2 or 3 players, from the derivatives of the game.

    See :class:`~xaionnx.explainers.shapley_interactions.ShapleyInteractions`.
    """
    return explain(
        model,
        x,
        "shapley_interactions",
        target,
        background=background,
        background_size=background_size,
        baseline=baseline,
        background_reduction=background_reduction,
        expectation=expectation,
        neighbours=neighbours,
        seed=seed,
        features=features,
        layer=layer,
        budget=budget,
        tolerance=tolerance,
        index=index,
        order=order,
    )


def shapley_sampling(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    background_reduction: Literal["sample", "kmeans"] = "sample",
    expectation: Literal["interventional", "conditional"] = "interventional",
    neighbours: int = 10,
    seed: int = 0,
    features: FeaturesLike = None,
    layer: str | None = None,
    budget: int | None = None,
    tolerance: float | None = None,
    scheme: Literal["antithetic", "orthogonal", "plain"] = "antithetic",
) -> Explanation:
    """Shapley values: the mean contribution of each player as it joins, over random orders.

    See :class:`~xaionnx.explainers.shapley_sampling.ShapleySampling`.
    """
    return explain(
        model,
        x,
        "shapley_sampling",
        target,
        background=background,
        background_size=background_size,
        baseline=baseline,
        background_reduction=background_reduction,
        expectation=expectation,
        neighbours=neighbours,
        seed=seed,
        features=features,
        layer=layer,
        budget=budget,
        tolerance=tolerance,
        scheme=scheme,
    )


def smooth_grad(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    inner: MethodLike | None = None,
    statistic: Literal["mean", "squared", "variance"] = "mean",
    layer: str | None = None,
    gradient: GradientLike | None = None,
    draws: int = 32,
    noise: NoiseLike = 0.15,
    background: BackgroundLike = None,
    seed: int = 0,
) -> Explanation:
    """A statistic of maps of noisy copies x + e of the input, with normally distributed e.

    See :class:`~xaionnx.explainers.smooth_grad.SmoothGrad`.
    """
    return explain(
        model,
        x,
        "smooth_grad",
        target,
        inner=inner,
        statistic=statistic,
        layer=layer,
        gradient=gradient,
        draws=draws,
        noise=noise,
        background=background,
        seed=seed,
    )


def sobol(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    background: BackgroundLike = None,
    background_size: int | None = 100,
    baseline: BaselineLike = None,
    background_reduction: Literal["sample", "kmeans"] = "sample",
    expectation: Literal["interventional", "conditional"] = "interventional",
    neighbours: int = 10,
    seed: int = 0,
    budget: int | None = None,
    tolerance: float | None = None,
    features: FeaturesLike = None,
    replicates: int = 1,
) -> Explanation:
    """The share of the target's variance that remains if all players except i are fixed.

    See :class:`~xaionnx.explainers.sobol.Sobol`.
    """
    return explain(
        model,
        x,
        "sobol",
        target,
        background=background,
        background_size=background_size,
        baseline=baseline,
        background_reduction=background_reduction,
        expectation=expectation,
        neighbours=neighbours,
        seed=seed,
        budget=budget,
        tolerance=tolerance,
        features=features,
        replicates=replicates,
    )


def tree_shap(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    background: BackgroundLike = None,
    background_size: int | None = None,
    perturbation: Literal["interventional", "path_dependent"] = "interventional",
    interactions: bool = False,
    features: FeaturesLike = None,
) -> Explanation:
    """Exact Shapley values of the sum of the trees, read from the file's tree nodes.

    See :class:`~xaionnx.explainers.tree_shap.TreeShap`.
    """
    return explain(
        model,
        x,
        "tree_shap",
        target,
        background=background,
        background_size=background_size,
        perturbation=perturbation,
        interactions=interactions,
        features=features,
    )


def x_grad_cam(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    layer: str | Sequence[str] | None = None,
    fuse: Literal["mean", "maximum"] = "mean",
    relu: bool = True,
    upsampling: Literal["bilinear", "nearest"] = "bilinear",
    gradient: GradientLike = "auto",
) -> Explanation:
    """Grad-CAM with gradients averaged with the activations as weights.

    See :class:`~xaionnx.explainers.x_grad_cam.XGradCam`.
    """
    return explain(
        model, x, "x_grad_cam", target, layer=layer, fuse=fuse, relu=relu, upsampling=upsampling, gradient=gradient
    )


def xrai(
    model: ModelLike,
    x: InputLike,
    target: TargetLike = None,
    *,
    inner: MethodLike | None = None,
    gradient: GradientLike | None = None,
    channels: Literal["max", "sum"] = "max",
    smallest: int = 50,
) -> Explanation:
    """The mean attribution of the region with which a pixel is added, the densest regions first.

    See :class:`~xaionnx.explainers.xrai.XRAI`.
    """
    return explain(model, x, "xrai", target, inner=inner, gradient=gradient, channels=channels, smallest=smallest)
