"""A run that counts in epochs, made of the records that a test gives it."""

from types import SimpleNamespace


class RunInEpochs(SimpleNamespace):
    """What a run says of its updates where they are its epochs; everything else is given by name."""

    unit = "epoch"
    methods_before = ()
    predictions = None
    mappings = ()
    concepts = ()
    training_flags = ()
    screen = None
    training_rows = None
    notes = ()

    @property
    def updates(self):
        return self.epochs

    def epoch_of(self, update):
        return update

    def outputs_before(self, method):
        return None
