"""What the backend of JAX takes for granted of JAX and Keras without a promise of theirs: each fails with what it is now."""

from __future__ import annotations

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("the internals of JAX", allow_module_level=True)

import jax
import jax.numpy as jnp

from keras_xai.backend.jax.ancestry import link_of
from keras_xai.backend.jax.jaxprs import NAMED_FUNCTIONS, trace
from keras_xai.backend.jax.marks import mark, with_added_at_marks
from keras_xai.backend.jax.program import compiled, constant
from keras_xai.backend.jax.scopes import VariableScope
from keras_xai.errors import InvalidInput

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")

LINKS = {
    "keras.ops.softmax": (keras.ops.softmax, "softmax"),
    "jax.nn.softmax": (jax.nn.softmax, "softmax"),
    "keras.activations.softmax": (keras.activations.softmax, "softmax"),
    "written": (
        lambda x: jnp.exp(x) / jnp.sum(jnp.exp(x), -1, keepdims=True),
        "",
    ),  # two exponentials: not known to be one
    "written once": (lambda x: (lambda e: e / jnp.sum(e, -1, keepdims=True))(jnp.exp(x)), "softmax"),
    "softmax of the samples": (lambda x: keras.ops.softmax(x, axis=0), ""),
    "keras.ops.sigmoid": (keras.ops.sigmoid, "sigmoid"),
    "jax.nn.sigmoid": (jax.nn.sigmoid, "sigmoid"),
    "keras.activations.sigmoid": (keras.activations.sigmoid, "sigmoid"),
    "half precision": (lambda x: keras.ops.cast(keras.ops.softmax(keras.ops.cast(x, "float16")), "float32"), "softmax"),
    "twice a softmax": (lambda x: 2 * keras.ops.softmax(x), ""),
    "tanh": (keras.ops.tanh, ""),
}


@pytest.mark.every_backend
@pytest.mark.parametrize("name", LINKS)
def test_a_softmax_is_known_by_its_jaxpr(name):
    """Whoever wrote it."""
    function, expected = LINKS[name]
    jaxpr = trace(function, [X])
    link, _ = link_of(jaxpr, jaxpr.outputs[0])
    assert link == expected, f"{name}:\n{jaxpr.closed}"


@pytest.mark.every_backend
@pytest.mark.parametrize("name", sorted(NAMED_FUNCTIONS - {"softmax", "squareplus", "log_softmax", "celu"}))
def test_an_activation_is_known_by_its_name(name):
    """As Keras calls it."""
    function = getattr(keras.ops, name)
    jaxpr = trace(function, [X])
    maker = jaxpr.outputs[0].maker
    assert maker is not None
    assert maker.kind == name, f"{name}:\n{jaxpr.closed}"
    inputs = [X if source.constant is None else source.constant for source in maker.inputs]  # elu's alpha is one
    np.testing.assert_array_equal(maker.run(inputs)[0], keras.ops.convert_to_numpy(function(X)))


@pytest.mark.every_backend
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_an_activation_is_a_primitive(name):
    """By another name."""
    jaxpr = trace(getattr(keras.ops, name), [X])
    maker = jaxpr.outputs[0].maker
    assert maker is not None
    assert maker.kind == {"sigmoid": "logistic", "tanh": "tanh"}[name], f"{name}:\n{jaxpr.closed}"


@pytest.mark.every_backend
def test_a_mark_is_found_and_added_to():
    """`checkpoint_name` leaves an operation, and an equation may be put in its place."""
    jaxpr = trace(lambda x: jnp.sin(mark(2 * x, 7)), [X])
    rewritten, marks = with_added_at_marks(jaxpr)
    assert [entry.number for entry in marks] == [7], str(jaxpr.closed)
    results = rewritten.run([X, np.ones_like(X)], [*rewritten.outputs, marks[0].value])
    np.testing.assert_allclose(results[0], np.sin(2 * X + 1), rtol=1e-5)
    np.testing.assert_allclose(results[1], 2 * X, rtol=1e-6)


@pytest.mark.every_backend
def test_a_scope_redirects_variables():
    """Reads, assignments, and those that it was not fed."""
    fed, other = keras.Variable(X), keras.Variable(X)
    with VariableScope([(fed, jnp.asarray(2 * X))]) as outer:
        np.testing.assert_array_equal(fed.value, 2 * X)
        with VariableScope(outer=outer) as inner:
            fed.assign(3 * X)
            np.testing.assert_array_equal(fed.value, 3 * X)
            np.testing.assert_array_equal(other.value, X)
        np.testing.assert_array_equal(fed.value, 2 * X)
    assert outer.writes
    assert inner.writes
    assert list(outer.missing.values()) == [other]
    np.testing.assert_array_equal(fed.value, X)


def test_processes_can_wait_for_each_other_for_a_while():
    """The connection to JAX's coordinator has a barrier with a limit; without one a process alone would wait for ever."""
    from jax._src.distributed import global_state
    from jax._src.lib import _jax

    assert global_state.client is None  # in a single process
    assert (
        "wait_at_barrier(self, barrier_id: str, timeout_in_ms: int"
        in _jax.DistributedRuntimeClient.wait_at_barrier.__doc__
    )


@pytest.mark.every_backend
def test_a_model_that_is_built_in_a_program_keeps_its_weights():
    """They are made outside of the trace, and the program reads them."""
    model = keras.Sequential([keras.layers.Dense(2)])
    program = compiled(lambda x: model(x, training=False), model)
    first = np.asarray(program(X))
    np.testing.assert_allclose(first, X @ model.get_weights()[0], rtol=1e-5, atol=1e-6)
    model.set_weights([2 * w for w in model.get_weights()])
    np.testing.assert_allclose(program(X), 2 * first, rtol=1e-5, atol=1e-6)


@pytest.mark.every_backend
def test_another_model_is_read_live():
    """One that the program was not told of: it is found when it is read, and fed."""
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False)])
    program = compiled(lambda x: other(x, training=False))
    first = np.asarray(program(X))
    other.set_weights([3 * w for w in other.get_weights()])
    np.testing.assert_allclose(program(X), 3 * first, rtol=1e-5, atol=1e-6)


@pytest.mark.every_backend
def test_inside_an_epoch_weights_are_read_and_the_training_goes_on():
    """Keras has taken them out of the variables by then; the training ends with the weights of a plain one."""
    x, y = np.tile(X, (8, 1)), np.tile(X[:, :1], (8, 1))
    weights = []
    for looks in (False, True):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.set_weights([np.ones((3, 1), "float32"), np.zeros(1, "float32")])
        model.compile(keras.optimizers.Adam(0.1), "mse")
        program, outputs = compiled(lambda z, model=model: model(z, training=False), model), []
        look = keras.callbacks.LambdaCallback()
        if looks:
            look.on_train_batch_end = lambda *_, program=program, outputs=outputs, **__: outputs.append(
                np.asarray(program(X))
            )
        model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=[look])
        weights.append(model.get_weights())
        assert len(outputs) == (8 if looks else 0)
        assert len({output.tobytes() for output in outputs}) == len(outputs)
    for plain, looked_at in zip(*weights, strict=True):
        np.testing.assert_array_equal(plain, looked_at)


@pytest.mark.every_backend
def test_integers_that_do_not_fit_are_refused():
    """JAX would cut them off without a word; text is refused, too."""
    assert constant(np.arange(3)).dtype == "int32"
    with pytest.raises(InvalidInput, match="JAX_ENABLE_X64"):
        constant(np.array([2**40]))
    with pytest.raises(InvalidInput, match="no tensors of text"):
        constant(np.array(["word"]))
