"""`kx.influence`: which training rows taught the model what it says of a row."""

from __future__ import annotations

from typing import Any

from keras_xai.errors import InvalidInput
from keras_xai.tracin.of_run import influence_in_run
from keras_xai.tracin.result import Influence


def influence(
    run_or_model: Any,
    x_train: Any = None,
    y_train: Any = None,
    x: Any = None,
    y: Any = None,
    *,
    output: Any = None,
    layer: str | None = None,
    sample_weight: Any = None,
    by: str = "relative",
    row: int | None = None,
    alert: Any = None,
    update: int | None = None,
) -> Influence:
    r"""Rank training rows by what they taught the model of some rows: TracIn on the last layer.

    The influence of a training row z on a row z′ is ∇L(z) · ∇L(z′), of gradients with respect to the weights of the last dense
    layer (Pruthi et al. 2020, NeurIPS 33, arXiv 2002.08484, equation 1 and section 4.2): to first order, what a step of gradient
    descent on z takes from the loss of z′, divided by the learning rate. Such a gradient is the product of what goes into
    the layer, h, and of the derivative of the loss with respect to the layer's sum, e; so the influence is
    (h · h′ + 1) (e · e′), the 1 where the layer has a bias, and no gradient is ever stored.

    Rows that pull the model to what it should say of z′ are proponents (above 0); those that pull it away are opponents: look
    there for wrong labels. They are ranked by the influence divided by the length of the training row's gradient (of one row that
    is the order of the cosine): the product alone favours whatever is still wrong, and rows that are learnt have errors near 0
    (Hammoudeh & Lowd 2022, arXiv 2201.10055). A copy of a row with a wrong label was the first opponent of that row in 80 % of 30
    digits and in 100 % of 30 tumours, against 43 % and 33 % by the product.

    Penalties on weights are left out: they pull at no row more than at another. Dropout is off, and batch normalisation uses its
    moving statistics, as in `predict`.

    Of a run that was trained with `ImportanceDrift(…, live=…, influence=True)` it is read back: on a row of the probe the sum
    over all updates so far, or what set off an alert. Then the training rows are the live rows, at most ten a side.

    Args:
        run_or_model: a built Keras model, compiled with the loss that it is trained with: any loss, any activation. Its last
            layer with weights is a `Dense` of one row of features a sample. Or a run of `kx.load`.
        x_train: (N, ...) training rows as `fit` gets them, or a `Probe`.
        y_train: (N, ...) their labels, as the loss gets them; of a `Probe` its own by default.
        x: (B, ...) rows to explain, or a `Probe`.
        y: (B, ...) their labels: true ones to ask what taught or spoilt them, others to ask what speaks for those.
        output: which output of several, by name or index; y_train and y may be dicts or lists, as of `fit`.
        layer: the path of another `Dense` than the last.
        sample_weight: (N,) of the training rows, as `fit` gets it; class weights as the weight of each row.
        by: the ranking, "relative" to the length of the training row's gradient, or by the "score" alone.
        row: of a run: the number of a row of its probe.
        alert: of a run: one of `run.alerts`, or its number among them. The influence is then on what the alert's features say for
            the label in the live rows.
        update: of a run: the sum up to this epoch, or step; default to the last.

    Returns:
        An `Influence`: `.scores` (B, N), `.top(k)`, `.proponents`, `.opponents`, `.plot()`; a table in a notebook.

    Raises:
        InvalidInput: the last layer is no `Dense`, the model has no loss, labels are missing or do not fit; scores of more than
            1 GiB.

    Cost:
        A forward pass over all rows, and the backward pass from the loss to the last layer; N × B × (D + K) multiplications.

    Example:
        >>> influence = kx.influence(model, x_train, y_train, x[:1], y[:1])
        >>> influence.scores.shape, len(influence.top(3).proponents)
        ((1, 256), 3)
    """
    of_model = {"x_train": x_train, "y_train": y_train, "x": x, "y": y, "sample_weight": sample_weight}
    if hasattr(run_or_model, "influences"):
        unused = [name for name, value in of_model.items() if value is not None]
        if unused:
            raise InvalidInput(f"influence(run) takes row= or alert=, not {', '.join(unused)}: those are of a model.")
        return influence_in_run(run_or_model, row, alert, update)
    if not hasattr(run_or_model, "layers"):
        raise InvalidInput(
            f"influence() got a {type(run_or_model).__name__}: expected a Keras model, or a run as kx.load(log_dir) has it."
        )
    if x_train is None or x is None or row is not None or alert is not None:
        raise InvalidInput(
            "influence(model, x_train, y_train, x, y): training rows, and rows to explain, are expected; row= and alert= are "
            "of a run."
        )
    from keras_xai.tracin.of_model import influence_in_model  # which needs Keras

    return influence_in_model(run_or_model, x_train, y_train, x, y, output, layer, sample_weight, by)
