"""What is PyTorch's own of running and asking: modules with buffers, writing in place, `vmap`, data loaders."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.backend import get_backend
from tests.frameworks import array

pytestmark = [pytest.mark.torch, pytest.mark.every_backend]

layers, ops = keras.layers, keras.ops
R = np.random.default_rng(0)
X = R.normal(size=(6, 4)).astype("float32")


def outputs(function, x=X, model=None):
    """The logits that are found behind a function of one tensor."""
    program = get_backend().compiled(
        lambda z: get_backend().find_logits(lambda inputs: function(inputs[0]), [z]), model
    )
    return program(x)


def test_a_module_of_torchs_is_left_as_it_was():
    """Its mode, and its buffers, though it writes to one whenever it is called."""
    import torch

    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(4, 3)
            self.norm = torch.nn.BatchNorm1d(3)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, z):
            self.calls += 1
            return self.norm(self.linear(z))

    module = Counting()
    model = keras.Sequential([keras.Input((4,)), layers.TorchModuleWrapper(module, output_shape=(None, 3))])
    model(X, training=True)
    modes = [part.training for part in module.modules()]
    before = {name: value.clone() for name, value in module.state_dict().items()}
    a = kx.attribute(model, X, "deeplift", target=1, verbose=False)
    assert a.completeness_error.max() < 1e-4
    kx.attribute(model, X, "integrated_gradients", target=1, verbose=False)
    assert [part.training for part in module.modules()] == modes
    for name, value in module.state_dict().items():
        np.testing.assert_array_equal(array(value), array(before[name]))


def test_gradients_of_the_training_are_left_alone():
    """`.grad` of the weights, and the generator of torch."""
    import torch

    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, "relu"), layers.Dropout(0.5), layers.Dense(2)])
    model(X).sum().backward()
    before = [array(v.value.grad) for v in model.trainable_variables]
    state = torch.get_rng_state()
    for method in ("saliency", "smoothgrad", "deeplift", "grad_cam"):
        if method != "grad_cam":
            kx.attribute(model, X, method, target=1, verbose=False)
    assert torch.equal(torch.get_rng_state(), state)
    for variable, gradient in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(array(variable.value.grad), gradient)


def test_a_trained_weight_that_is_written_in_place_is_said():
    """Nobody puts it back."""

    class Writing(layers.Layer):
        def build(self, shape):
            self.count = self.add_weight(shape=())

        def call(self, x):
            self.count.value.add_(1)
            return x

    model = keras.Sequential([keras.Input((4,)), Writing(), layers.Dense(2)])
    program = get_backend().compiled(lambda x: model(x, training=False), model)
    program(X)
    assert program.lasting_effects == "writes to its own weights in place"


@pytest.mark.parametrize(
    ("function", "link"),
    [
        (lambda z: ops.softmax(z), "softmax"),
        (lambda z: z.softmax(-1).float().contiguous(), "softmax"),
        (lambda z: z.sigmoid().clone(), "sigmoid"),
        (lambda z: z.softmax(-1).mul_(2), ""),
        (lambda z: z.softmax(0), ""),
        (lambda z: z.softmax(-1).t().t(), ""),
    ],
)
def test_a_softmax_is_one_over_the_last_axis_that_nobody_wrote_to(function, link):
    """Whatever hands it on."""
    logits = outputs(function)
    assert logits.link == link
    np.testing.assert_array_equal(array(logits.scores), X if link else array(logits.outputs))


def test_facts_cost_one_round_of_a_loop():
    """A trace runs the function, for nothing else tells its facts; the call itself runs all of them."""
    rounds = []

    def function(x):
        def body(k, values):
            rounds.append(int(k))
            return [values[0] + x]

        return get_backend().fori_loop(body, 50, [x])[0], get_backend().map(lambda k: x.sum() + k, 30), "fact"

    program = get_backend().compiled(function)
    assert program.trace(X) == (None, None, "fact")
    assert program.trace(X) == (None, None, "fact")
    assert rounds == [0]
    total, sums, _ = program(X)
    assert rounds == [0, *range(50)]
    np.testing.assert_allclose(array(total), 51 * X, rtol=1e-5)
    np.testing.assert_allclose(array(sums), X.sum() + np.arange(30), rtol=1e-5)
    assert program.traces == 1


@pytest.mark.parametrize(
    ("mixing", "name"),
    [
        (lambda z: z - ops.mean(z, axis=0, keepdims=True), "mean"),
        (lambda z: ops.flip(z, axis=0), "flip"),
        (lambda z: ops.matmul(np.tril(np.ones((len(z), len(z)), "float32")), z), "matmul"),
        (lambda z: ops.stop_gradient(z) * 1.0, "detach"),
    ],
)
def test_deeplift_refuses_what_mixes_samples_with_baselines(mixing, name):
    """They are rows of one batch."""
    model = keras.Sequential([keras.Input((4,)), layers.Lambda(mixing, output_shape=(4,)), layers.Dense(2)])
    baseline = R.normal(size=X.shape).astype("float32")
    with pytest.raises(kx.InvalidInput, match=f"no rule for the operation {name} in"):
        kx.attribute(model, X, "deeplift", target=1, baseline=baseline, verbose=False)


def test_deeplift_goes_through_rows_that_are_split_and_joined():
    """Steps as rows, and an activation that writes into its argument."""
    import torch

    class Steps(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.relu = torch.nn.Linear(2, 5), torch.nn.ReLU(inplace=True)

        def forward(self, z):
            rows = self.relu(self.linear(z.reshape(-1, 2)))
            return rows.reshape(-1, 2, 5).amax(1)

    model = keras.Sequential(
        [keras.Input((4,)), layers.TorchModuleWrapper(Steps(), output_shape=(None, 5)), layers.Dense(2)]
    )
    for baseline in (X[:1], R.normal(size=X.shape).astype("float32")):
        a = kx.attribute(model, X, "deeplift", target=1, baseline=baseline[0] if len(baseline) == 1 else baseline)
        assert a.completeness_error.max() < 1e-4


def test_inference_mode_around_us_changes_no_number():
    """The gradients that it forbids its own code are ours to take."""
    import torch

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(2)])
    for method in ("saliency", "integrated_gradients", "deeplift", "occlusion"):
        outside = kx.attribute(model, X, method, target=1, verbose=False).values
        with torch.inference_mode():
            inside = kx.attribute(model, X, method, target=1, verbose=False).values
        np.testing.assert_array_equal(inside, outside)


@pytest.mark.parametrize("kind", ["needs a gradient", "bfloat16", "parameter"])
def test_tensors_are_taken_as_keras_takes_them(kind):
    """As samples, labels and baseline: whether or not NumPy could."""
    import torch

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    make = {
        "needs a gradient": lambda values: torch.tensor(values).clone().requires_grad_(),
        "bfloat16": lambda values: torch.tensor(values).bfloat16(),
        "parameter": lambda values: torch.nn.Parameter(torch.tensor(values)),
    }[kind]
    rounded = X if kind != "bfloat16" else make(X).float().numpy()
    expected = kx.attribute(model, rounded, "input_x_gradient", target=1, verbose=False).values
    found = kx.attribute(model, make(X), "input_x_gradient", target=1, baseline=make(X[0]), verbose=False).values
    np.testing.assert_array_equal(found, expected)
    probe = kx.Probe(make(X), make(np.ones(len(X), np.float32)))
    np.testing.assert_array_equal(probe.x, rounded)


@pytest.mark.filterwarnings("ignore:.*quantize", "ignore:.*nested")
def test_a_sparse_tensor_becomes_dense_and_others_are_refused_in_words():
    """With their kind and shape, and what to do."""
    import torch

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    expected = kx.attribute(model, X, target=1, verbose=False)
    with pytest.warns(UserWarning, match="x is sparse"):
        a = kx.attribute(model, torch.tensor(X).to_sparse(), target=1, verbose=False)
    np.testing.assert_array_equal(a.values, expected.values)
    with pytest.raises(kx.InvalidInput, match=r"nested tensor, whose rows have different lengths.*to_padded_tensor"):
        kx.attribute(model, torch.nested.nested_tensor([torch.zeros(3), torch.zeros(4)], layout=torch.jagged), target=1)
    with pytest.raises(kx.InvalidInput, match=r"x is a quantized tensor of shape \(\d+, 4\).*dequantize"):
        kx.attribute(model, torch.quantize_per_tensor(torch.tensor(X), 0.1, 0, torch.qint8), target=1)


@pytest.mark.filterwarnings(
    "ignore:Exception encountered when calling:UserWarning", "ignore:None of the inputs have requires_grad"
)
def test_a_checkpoint_that_gives_weights_alone_their_gradients_is_refused_in_words():
    """And another one is explained."""
    import torch

    class Checkpointed(keras.layers.Layer):
        def __init__(self, use_reentrant):
            super().__init__()
            self.use_reentrant = use_reentrant

        def call(self, x):
            if x.device.type == "meta":
                return x
            return torch.utils.checkpoint.checkpoint(torch.tanh, x, use_reentrant=self.use_reentrant)

    for use_reentrant in (False, True):
        model = keras.Sequential([keras.Input((4,)), Checkpointed(use_reentrant), keras.layers.Dense(2)])
        if use_reentrant:
            with pytest.raises(kx.InvalidInput, match="use_reentrant=False"):
                kx.attribute(model, X, "saliency", target=1, verbose=False)
        else:
            assert kx.attribute(model, X, "saliency", target=1, verbose=False).values.any()
