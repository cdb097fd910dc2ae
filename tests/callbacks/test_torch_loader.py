"""A `DataLoader` of torch's as the data of `fit`, as live rows and as the source of a probe."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.callbacks.live_rows import LiveRows
from tests.frameworks import array, generator_states

pytestmark = [pytest.mark.torch, pytest.mark.every_backend]

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(600, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


def loader(x=X, y=Y, **options):
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    return DataLoader(TensorDataset(torch.tensor(x), torch.tensor(y)), **{"batch_size": 32, **options})


def streamed(batch_size=32):
    """A loader of a data set without a length."""
    import torch
    from torch.utils.data import DataLoader, IterableDataset

    class Stream(IterableDataset):
        def __iter__(self):
            if batch_size is None:
                return iter([(torch.tensor(X[k : k + 32]), torch.tensor(Y[k : k + 32])) for k in range(0, 600, 32)])
            return iter(zip(torch.tensor(X), torch.tensor(Y), strict=True))

    return DataLoader(Stream(), batch_size=batch_size)


def subset():
    """A loader of the samples from 20 on, in an order that is drawn."""
    from torch.utils.data import SubsetRandomSampler

    return loader(sampler=SubsetRandomSampler(range(20, 300)))


def by_batch_sampler():
    from torch.utils.data import BatchSampler, RandomSampler

    return loader(batch_size=1, batch_sampler=BatchSampler(RandomSampler(X), 32, drop_last=True))


SOURCES = {
    "in order": loader,
    "shuffling": lambda: loader(shuffle=True),
    "with workers": lambda: loader(num_workers=2),
    "by a batch sampler": by_batch_sampler,
    "of a stream": streamed,
    "of a stream of batches": lambda: streamed(None),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_reading_a_loader_gives_the_data_sets_order_and_moves_no_generator(source):
    """Live rows and a probe, read again and again; torch's own iterator would draw at each."""
    source = source()
    before = generator_states()
    live = LiveRows(source, kx.Probe(X, Y))
    np.testing.assert_array_equal(live.check().inputs[0], X[:512])
    np.testing.assert_array_equal(live.read().inputs[0], X[:512])
    probe = kx.Probe.from_dataset(source, 100)
    np.testing.assert_array_equal(probe.x, X[:100])
    np.testing.assert_array_equal(probe.y, Y[:100])
    for mine, theirs in zip(generator_states(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_subset_gives_its_own_samples():
    """Not those that training does not see."""
    np.testing.assert_array_equal(kx.Probe.from_dataset(subset(), 10).x, X[20:30])


def test_a_sampler_of_the_users_own_is_refused_in_words():
    """It can be known only by drawing."""

    class Odd:
        def __iter__(self):
            return iter(range(1, 300, 2))

        def __len__(self):
            return 150

    with pytest.raises(kx.InvalidInput, match=r"sampler of its own \(Odd\).*shuffle=False"):
        kx.Probe.from_dataset(loader(sampler=Odd()))
    with pytest.raises(kx.InvalidInput, match="sampler of its own"):
        LiveRows(loader(sampler=Odd()), kx.Probe(X, Y)).check()


def test_random_augmentation_in_the_data_set_leaves_the_generators_alone():
    """It draws in the process of the training: a read of ours must not move what training will draw."""
    import random

    import torch
    from torch.utils.data import DataLoader, Dataset

    class Noisy(Dataset):
        def __len__(self):
            return 300

        def __getitem__(self, index):
            noise = torch.randn(4) + random.random() + np.random.random()
            return torch.tensor(X[index]) + noise.float(), int(Y[index])

    before = generator_states()
    LiveRows(DataLoader(Noisy(), batch_size=32, shuffle=True), kx.Probe(X, Y)).check()
    for mine, theirs in zip(generator_states(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.filterwarnings("ignore:The probe has")
def test_a_training_by_a_shuffling_loader_is_the_same_with_and_without_us(tmp_path):
    """All callbacks together, with the very loader as their live rows: weights, optimizer, and what is drawn afterwards."""

    def trained(watch):
        keras.utils.set_random_seed(3)
        layers = [keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(2)]
        model = keras.Sequential([keras.Input((4,)), *layers])
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        data = loader(shuffle=True)
        model.fit(data, epochs=3, shuffle=False, verbose=0, callbacks=watch(data))
        return [*(array(v) for v in (*model.variables, *model.optimizer.variables)), *generator_states()]

    def ours(data):
        quiet = {"on_flag": lambda record: None, "on_drift": lambda record: None}
        probe = kx.Probe.from_dataset(data, 64)
        return [kx.Explain(tmp_path, probe, live=data, mappings=True, on_error="raise", **quiet)]

    for mine, theirs in zip(trained(ours), trained(lambda data: []), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    run = kx.load(tmp_path)["."]
    assert run.epochs == run.importance_live.epochs.tolist() == [0, 1, 2]
    assert [record.missing for record in run.weight_gradients] == [""] * 3
