"""A train function that records some of its calls."""

from keras_xai.backend import get_backend


class Recording:
    """Stands for the model's train function; some of its calls are recorded."""

    def __init__(self, model, calls=None, is_selected=lambda variable: True):
        model.make_train_function()
        self.plain = model.train_function
        self.announced = []
        self.recorder = get_backend().gradient_recorder(model, self.plain, self.announced.append)
        self.recorder.select(is_selected)
        self.calls = calls
        self.number = 0
        model.train_function = self

    def __call__(self, *arguments):
        number, self.number = self.number, self.number + 1
        function = self.plain
        if self.calls is None or number in self.calls:
            function = self.recorder.recording_function(arguments) or self.plain
        return function(*arguments)
