"""The Keras callbacks, and what those of one fit share: a run directory, its lock, the event file and the ledger of costs."""
