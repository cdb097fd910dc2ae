"""Runs of a few epochs, written as the callbacks write them."""

from keras_xai.summary.writer import Writer


def write(directory, records, epochs, start=0, probe=None):
    writer = Writer(directory, start)
    if probe is not None:
        writer.write([probe])
    for epoch in epochs:
        writer.write(records(epoch))
    writer.close()
    return writer.path
