"""The laws of a backend, one test a function of the protocol: against closed forms and NumPy twins on small models.

Nothing here names a framework. The backend is that of Keras (`KERAS_BACKEND`), so that each framework runs the same table.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_xai.backend import get_backend, layer_calls
from keras_xai.backend.preimages import preimages
from keras_xai.backend.protocol import LrpRules, NoRule
from keras_xai.backend.rows import fit_rows
from keras_xai.model.target_score import TargetScore

pytestmark = pytest.mark.every_backend

layers, ops = keras.layers, keras.ops
R = np.random.default_rng(0)
X = R.normal(size=(4, 3)).astype("float32")
W, B = R.normal(size=(3, 2)).astype("float32"), R.normal(size=2).astype("float32")
HIDDEN, OUT = R.normal(size=(3, 5)).astype("float32"), R.normal(size=(5, 2)).astype("float32")


def run(function, *args, model=None):
    """What a program of the function gives, on the host."""
    result = get_backend().compiled(function, model)(*args)
    return keras.tree.map_structure(to_host, result)


def to_host(value):
    return get_backend().numpy(value) if keras.ops.is_tensor(value) else value


def outputs(model):
    """A model as a function of a list of inputs."""
    return lambda z: model(z[0] if len(z) == 1 else z, training=False)


def linear(activation=None, units=2):
    """z = x·W + b, and an activation."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(units, activation=activation, name="out")])
    model.set_weights([W[:, :units], B[:units]])
    return model


def mlp(activation="relu"):
    """Two layers without biases."""
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(5, activation=activation, use_bias=False, name="hidden"),
            layers.Dense(2, use_bias=False, name="out"),
        ]
    )
    model.set_weights([HIDDEN, OUT])
    return model


def softmax(z):
    power = np.exp(z - z.max(1, keepdims=True))
    return power / power.sum(1, keepdims=True)


# Running.


def test_a_program_returns_tensors_and_facts():
    """In the structure that the function returns them in; a second shape is a second trace with facts of its own."""
    program = get_backend().compiled(lambda x, k: {"sum": (ops.sum(x[0]), f"{k} of {x[0].shape[0]}"), "none": [None]})
    facts = program.trace([X], 7)
    assert facts == {"sum": (None, "7 of 4"), "none": [None]}
    assert program.traces == 1
    result = program([X], 7)
    np.testing.assert_allclose(to_host(result["sum"][0]), X.sum(), rtol=1e-5)
    assert (result["sum"][1], result["none"]) == ("7 of 4", [None])
    assert program.traces == 1
    assert program([X[:2]], 7)["sum"][1] == "7 of 2"
    assert program([X], 8)["sum"][1] == "8 of 4"
    assert program.traces == 3
    assert not program.has_side_effects
    assert program.lasting_effects == ""


def test_a_program_reads_the_weights_of_the_moment():
    """They are no constants of the trace."""
    model = linear()
    program = get_backend().compiled(lambda x: model(x, training=False), model)
    np.testing.assert_allclose(to_host(program(X)), X @ W + B, rtol=1e-5)
    model.set_weights([2 * W, B])
    np.testing.assert_allclose(to_host(program(X)), X @ (2 * W) + B, rtol=1e-5)
    assert program.traces == 1


class Drawing(layers.Layer):
    """A dropout that is on in inference."""

    def __init__(self):
        super().__init__()
        self.dropout = layers.Dropout(0.5, seed=3)

    def call(self, x):
        return self.dropout(x, training=True)


def test_a_program_leaves_everything_as_it_was():
    """Seeds, weights, NumPy's generator: the same draw at every call, and nothing in Keras or NumPy has moved."""
    model = keras.Sequential([keras.Input((3,)), Drawing()])
    program = get_backend().compiled(lambda x: model(x, training=False), model)
    np.random.seed(5)
    before = [np.array(to_host(ops.convert_to_tensor(v))) for v in model.variables]
    first, second = to_host(program(X)), to_host(program(X))
    np.testing.assert_array_equal(first, second)
    assert (first == 0).any()
    assert program.has_side_effects
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(to_host(ops.convert_to_tensor(variable)), value)
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    program(X)
    assert np.random.random() == expected


@pytest.mark.parametrize(
    ("array", "dtype"), [(X, "float32"), (X.astype("float64"), "float32"), (np.arange(3, dtype="int32"), "int32")]
)
def test_constants_go_to_the_device_and_back(array, dtype):
    """Float64 becomes Keras' own type."""
    value = to_host(get_backend().constant(array))
    assert value.dtype == dtype
    np.testing.assert_array_equal(value, array.astype(dtype))


def test_a_large_constant_inside_a_program_is_the_array():
    """Whatever way it is fed."""
    array = R.normal(size=(512, 1024)).astype("float32")
    program = get_backend().compiled(lambda k: get_backend().constant(array) * k)
    np.testing.assert_array_equal(to_host(program(np.float32(2) * np.ones(1, "float32"))), 2 * array)


def test_a_dense_tensor_is_numbers():
    """Arrays, tensors and variables; None is none."""
    backend = get_backend()
    variable = keras.Variable(X)
    for value in (X, ops.convert_to_tensor(X), variable):
        np.testing.assert_array_equal(to_host(backend.dense_tensor(value)), X)
    assert backend.dense_tensor(None) is None


# Asking.


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None, "relu"])
def test_logits_stand_behind_a_softmax_or_a_sigmoid(activation):
    """Anything else is explained as it is."""
    model = linear(activation)
    z = X @ W + B
    logits = run(lambda x: get_backend().find_logits(outputs(model), [x]), X, model=model)
    expected = {"softmax": softmax(z), "sigmoid": 1 / (1 + np.exp(-z)), "relu": np.maximum(z, 0)}.get(activation, z)
    np.testing.assert_allclose(logits.outputs, expected, rtol=1e-5, atol=1e-6)
    has_link = activation in ("softmax", "sigmoid")
    np.testing.assert_allclose(logits.scores, z if has_link else expected, rtol=1e-5, atol=1e-6)
    assert logits.link == (activation if has_link else "")


class Subclassed(keras.Model):
    """A softmax in Python code, without a layer of its own."""

    def __init__(self, scale):
        super().__init__()
        self.inner, self.scale = linear(), scale

    def call(self, x):
        return ops.softmax(self.inner(x)) * self.scale if self.scale != 1 else ops.softmax(self.inner(x))


@pytest.mark.parametrize(("scale", "link"), [(1, "softmax"), (2, "")])
def test_logits_are_found_without_a_layer_and_not_behind_a_scale(scale, link):
    """It is the function that is asked; twice a softmax is no softmax."""
    model = Subclassed(scale)
    model(X)
    logits = run(lambda x: get_backend().find_logits(outputs(model), [x]), X, model=model)
    assert logits.link == link
    z = X @ W + B
    np.testing.assert_allclose(logits.scores, z if link else scale * softmax(z), rtol=1e-5, atol=1e-6)


def test_logits_are_found_inside_a_gradient_and_a_loop():
    """The gradient of a logit is a column of W, in a loop as well."""
    model, target = linear("softmax"), np.array([0, 1, 1, 0], "int32")
    backend = get_backend()

    def column(x, target):
        def score(z):
            return backend.take_target(backend.find_logits(outputs(model), z).scores, target)

        def body(k, values):
            return [values[0] + backend.gradient(score, [x]).gradients[0]]

        return backend.fori_loop(body, 3, [ops.zeros(x.shape)])[0]

    np.testing.assert_allclose(run(column, X, target, model=model), 3 * W.T[target], rtol=1e-5)


@pytest.mark.parametrize("shape", [(4, 3), (4, 1), (4,)])
def test_the_target_is_a_column(shape):
    """Of one column there is nothing to choose."""
    scores, target = R.normal(size=shape).astype("float32"), np.array([2, 0, 1, 1], "int32")
    found = run(lambda s, t: get_backend().take_target(s, t), scores, target)
    expected = scores[np.arange(4), target] if shape == (4, 3) else scores.reshape(4)
    np.testing.assert_array_equal(found, expected)


# Differentiating.


def test_a_gradient_has_a_closed_form_and_gaps():
    """Of (w·x)² it is 2 (w·x) w; integers and inputs that nothing leads to have none."""
    w = W[:, 0]

    def pieces(x, unused, whole):
        result = get_backend().gradient(
            lambda z: ops.square(ops.sum(ops.multiply(z[0], w), axis=1)), [x, unused, whole]
        )
        return result.value, result.gradients

    value, gradients = run(pieces, X, X, np.ones((4, 2), "int32"))
    np.testing.assert_allclose(value, (X @ w) ** 2, rtol=1e-5)
    np.testing.assert_allclose(gradients[0], 2 * (X @ w)[:, None] * w, rtol=1e-5)
    assert gradients[1:] == [None, None]


def test_one_pass_gives_activations_and_their_gradients():
    """Of a ReLU network by hand: what the hidden layer gave, and the score's gradient there and at the input."""
    model, idle = mlp(), layers.Dense(2)
    idle.build((None, 3))
    watched = [model.get_layer("hidden"), idle]

    def ask(x):
        def score(z):
            out = model(z[0], training=False)  # the first of two inputs
            return out[:, 1], {"outputs": out}

        forward = get_backend().forward_with_vjp(score, [x, x * 1], watched)
        slopes = forward.vjp()
        assert forward.vjp() is slopes
        indices = [sorted(output.input_indices) for output in forward.layers[0]]
        tensors = [output.output for output in forward.layers[0]]
        return forward.value, forward.aux, tensors, indices, len(forward.layers[1]), slopes

    value, aux, tensors, indices, idle_calls, slopes = run(ask, X, model=model)
    hidden = np.maximum(X @ HIDDEN, 0)
    np.testing.assert_allclose(aux["outputs"], hidden @ OUT, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(value, (hidden @ OUT)[:, 1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(tensors[0], hidden, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(slopes.outputs[0][0], np.tile(OUT[:, 1], (4, 1)), rtol=1e-5)
    np.testing.assert_allclose(slopes.inputs[0], ((hidden > 0) * OUT[:, 1]) @ HIDDEN.T, rtol=1e-4, atol=1e-5)
    assert slopes.inputs[1] is None
    assert (indices, idle_calls, slopes.outputs[1]) == ([[0]], 0, [])


@pytest.mark.parametrize("shared", [False, True])
def test_deeplift_is_the_rescale_rule(shared):
    """Multipliers of a ReLU network by hand, against baselines of their own or one for all."""
    model, target = mlp(), np.array([0, 1, 1, 0], "int32")
    base = np.broadcast_to(R.normal(size=(1 if shared else 4, 3)).astype("float32"), X.shape)

    def ask(x, b, target):
        result = get_backend().deeplift_multipliers(
            lambda z: (outputs(model)(z), "aux"), [x], [b], TargetScore(None, target), shared
        )
        return tuple(result)

    score, baseline_score, multipliers, aux = run(ask, X, np.array(base), target, model=model)
    pre, pre_base = X @ HIDDEN, base @ HIDDEN
    slope = (np.maximum(pre, 0) - np.maximum(pre_base, 0)) / (pre - pre_base)
    np.testing.assert_allclose(multipliers[0], (slope * OUT.T[target]) @ HIDDEN.T, rtol=1e-3, atol=1e-4)
    rows = np.arange(4)
    np.testing.assert_allclose(score, (np.maximum(pre, 0) @ OUT)[rows, target], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(baseline_score, (np.maximum(pre_base, 0) @ OUT)[rows, target], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose((multipliers[0] * (X - base)).sum(1), score - baseline_score, rtol=1e-4, atol=1e-4)
    assert aux == "aux"


def test_deeplift_says_which_operation_has_no_rule():
    """Entries in another order."""

    def scores(z):
        return ops.sort(ops.matmul(z[0], W)), None

    def ask(x):
        target = TargetScore(None, get_backend().constant(np.zeros(4, "int32")))
        return tuple(get_backend().deeplift_multipliers(scores, [x], [x * 0], target))

    with pytest.raises(NoRule, match="operation"):
        run(ask, X)


@pytest.mark.parametrize("dense_gamma", [0.0, 0.5])
def test_lrp_is_its_rules_by_hand(dense_gamma):
    """Relevance over value, of a network of two dense layers and a rectifier."""
    model, target = mlp(), np.array([0, 1, 1, 0], "int32")
    rules = LrpRules(epsilon=0.1, gamma=0.0, dense_gamma=dense_gamma)

    def ask(x, target):
        result = get_backend().lrp_multipliers(
            lambda z: (outputs(model)(z), "aux"), [x], TargetScore(None, target), rules
        )
        return tuple(result)

    def shares(x, kernel, relevance):
        contributions = x[:, :, None] * kernel
        sums = contributions.sum(1)
        sign = np.where(sums >= 0, 1, -1)
        favoured = np.where(contributions * sign[:, None] > 0, 1 + dense_gamma, 1) * contributions
        stabilizer = 1e-6 if dense_gamma else 0.1
        return (favoured * (relevance / (favoured.sum(1) + stabilizer * sign))[:, None]).sum(2)

    score, multipliers, aux = run(ask, X, target, model=model)
    hidden = np.maximum(X @ HIDDEN, 0)
    relevance = np.where(np.arange(2) == target[:, None], hidden @ OUT, 0)
    relevance = shares(X, HIDDEN, shares(hidden, OUT, relevance))
    np.testing.assert_allclose(X * multipliers[0], relevance, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(score, (hidden @ OUT)[np.arange(4), target], rtol=1e-4, atol=1e-5)
    assert aux == "aux"


# Loops.


def test_a_loop_carries_values_and_reports_its_rounds():
    """Σ k x for k under 40, in the carry's own shapes; the host hears of at most as many rounds as there are."""
    rounds = []
    backend = get_backend()

    def ask(x):
        def body(k, values):
            return [values[0] + ops.cast(k, "float32") * x, values[1] + 1.0]

        return backend.fori_loop(body, 40, [ops.zeros(x.shape), ops.zeros((2,))], rounds.append)

    summed, counted = run(ask, X)
    np.testing.assert_allclose(summed, sum(range(40)) * X, rtol=1e-5)
    np.testing.assert_array_equal(counted, [40, 40])
    assert 0 < sum(rounds) <= 40
    assert len(rounds) <= 2 * 20 + 1


def test_a_map_stacks_its_results():
    """One row a number, in order."""
    backend = get_backend()
    table = R.normal(size=(7, 2)).astype("float32")
    found = run(lambda t: backend.map(lambda k: ops.take(t, k, axis=0) * 2.0, 7), table)
    np.testing.assert_array_equal(found, 2 * table)


# Layers.


def traced(model, x, watched, vary=None):
    """The trace of a model, tensors on the host."""
    ask = lambda *z: get_backend().trace_activations(outputs(model), list(z), watched, vary)  # noqa: E731
    result = get_backend().compiled(ask, model)(*x)
    activations = {}
    for activation in result.activations:
        tensors = {"output": activation.output, "mask": activation.mask}
        on_host = {name: None if t is None else to_host(t) for name, t in tensors.items()}
        activations[activation.layer.name] = activation._replace(**on_host)
    return result._replace(activations=activations)


def test_a_trace_says_what_each_layer_gave():
    """Values, activation functions, and which layers only hand on, finish another one, or end the model."""
    model = keras.Sequential(
        [
            keras.Input((2, 3)),
            layers.Flatten(name="flat"),
            layers.Dense(5, "tanh", name="hidden"),
            layers.BatchNormalization(name="finish"),
            layers.Dense(2, name="scores"),
            layers.Activation("softmax", name="ends"),
        ]
    )
    x = R.normal(size=(4, 2, 3)).astype("float32")
    trace = traced(model, [x], model.layers)
    a = trace.activations
    assert list(a) == ["flat", "hidden", "finish", "scores", "ends"]
    assert trace.link == "softmax"
    kernel, bias = (np.array(to_host(ops.convert_to_tensor(v))) for v in model.get_layer("hidden").weights)
    np.testing.assert_allclose(a["hidden"].output, np.tanh(x.reshape(4, 6) @ kernel + bias), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(to_host(trace.scores), a["scores"].output, rtol=1e-5)
    np.testing.assert_allclose(to_host(trace.outputs), softmax(a["scores"].output), rtol=1e-4)
    assert [name for name in a if a[name].is_input] == ["flat"]
    assert [name for name in a if a[name].is_final] == ["scores", "ends"]
    assert a["hidden"].function == "tanh"
    assert [layer.name for layer in a["finish"].follows] == ["hidden"]
    assert all(activation.leads and activation.varies and not activation.problem for activation in a.values())


def test_a_trace_says_which_layers_do_not_count():
    """One that is called twice, one whose output nobody uses, one that is fed by what never varies, one of integers."""
    constant, varying = keras.Input((3,), name="constant"), keras.Input((3,), name="varying")
    twice, idle = layers.Dense(3, "relu", name="twice"), layers.Dense(3, name="idle")
    still = layers.Dense(3, name="still")(constant)

    both = layers.Add()([twice(twice(varying)), still])
    rounds = layers.Lambda(lambda z: ops.cast(z, "int32"), name="rounds", output_shape=(3,))(both)
    model = keras.Model([constant, varying], [both, rounds])
    idle.build((None, 3))
    asked = lambda z: (idle(z[1]), model(z, training=False)[0])[1]  # noqa: E731
    watched = [twice, idle, model.get_layer("still"), model.get_layer("rounds")]
    ask = lambda *z: get_backend().trace_activations(asked, list(z), watched, [False, True])  # noqa: E731
    result = get_backend().compiled(ask, model)(np.ones((4, 3), "float32"), X)
    a = {activation.layer.name: activation for activation in result.activations}
    assert (a["twice"].calls, a["twice"].function, a["twice"].leads) == (2, "relu", True)
    assert not a["idle"].leads
    assert (a["still"].varies, a["still"].leads) == (False, True)
    assert "integers" in a["rounds"].problem
    assert a["rounds"].output is None


def test_a_trace_has_the_mask_of_a_sequence():
    """Steps of padding are said to be none."""
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            layers.Embedding(7, 2, mask_zero=True, name="words"),
            layers.Dense(3, name="each"),
            layers.GlobalAveragePooling1D(),
        ]
    )
    tokens = np.array([[1, 2, 0, 0, 0], [3, 4, 5, 6, 1]], "int32")
    a = traced(model, [tokens], model.layers[:2]).activations
    for name in ("words", "each"):
        np.testing.assert_array_equal(a[name].mask, tokens != 0)


def test_embeddings_are_told_from_what_they_look_up():
    """The number of the input that a call looks up, None for positions; others stand in for them."""
    table = R.normal(size=(7, 2)).astype("float32")
    positions = R.normal(size=(3, 2)).astype("float32")
    words, places = layers.Embedding(7, 2), layers.Embedding(3, 2)
    for layer, values in ((words, table), (places, positions)):
        layer.build((None, 3))
        layer.set_weights([values])
    tokens = np.array([[1, 2, 6], [0, 3, 3]], "int32")

    def function(z):
        where = ops.arange(3, dtype="int32")
        return words(ops.reshape(z[1], (-1, 3, 1)))[:, :, 0] + places(where)[None]

    def ask(x, t):
        calls = get_backend().embedding_outputs(function, [x, t], [words, places])
        replaced = layer_calls.substitute_embeddings(function, [x, t], [words, places], [calls[0].output * 0, None])
        return [call.input_index for call in calls], [call.output for call in calls], replaced

    indices, tensors, replaced = run(ask, X, tokens)
    assert indices == [1, None]
    np.testing.assert_allclose(tensors[0][:, :, 0], table[tokens], rtol=1e-6)
    np.testing.assert_allclose(replaced, np.broadcast_to(positions, (2, 3, 2)), rtol=1e-6)


def test_shapes_of_outputs_come_in_the_order_of_calls():
    """Each layer once, what is not called not at all."""
    model = mlp()
    hidden, out = model.layers
    idle = layers.Dense(1)
    shapes = run(lambda x: layer_calls.output_shapes(outputs(model), [x], [out, idle, hidden]), X, model=model)
    assert [(layer.name, shape) for layer, shape in shapes] == [("hidden", (4, 5)), ("out", (4, 2))]


@pytest.mark.parametrize("samples", [3, 4, 6])
def test_rows_are_cut_or_filled(samples):
    """To the number of samples, with how many there were."""
    rows, count = run(lambda x: tuple(fit_rows(x, samples)), X)
    expected = np.concatenate([X, np.zeros((6, 3), "float32")])[:samples]
    np.testing.assert_array_equal(rows, expected)
    assert count == 4


def test_a_preimage_is_what_a_normalization_or_a_masking_wants():
    """Behind a rescaling: the mean, brought back through it; of a masking its value, at every step."""
    normalise = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 9.0])
    model = keras.Sequential([keras.Input((3,)), layers.Rescaling(0.5, offset=1.0), normalise, layers.Dense(1)])
    (found,) = preimages(outputs(model), [X[:1]], [normalise], model)
    assert found.layer is normalise
    is_fed, values = found.values[0]
    assert is_fed.all()
    np.testing.assert_allclose(values, (np.array([1.0, 2.0, 3.0]) - 1.0) / 0.5, rtol=1e-4, atol=1e-5)
    masking = layers.Masking(-1.0)
    series = keras.Sequential([keras.Input((4, 2)), masking, layers.LSTM(2)])
    (found,) = preimages(outputs(series), [np.zeros((1, 4, 2), "float32")], [masking], series)
    np.testing.assert_allclose(found.values[0][1], -np.ones((4, 2)), rtol=1e-5)


def test_every_function_of_the_protocol_is_there():
    """A backend that lacks one says so here, and not in the middle of a fit."""
    from keras_xai.backend.protocol import Backend

    names = [name for name in vars(Backend) if not name.startswith("_")]
    assert [name for name in names if not hasattr(get_backend(), name)] == []
