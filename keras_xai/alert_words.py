"""The words of alerts: what each verdict says, where it was seen, what to do next, and where the documentation says more."""

from __future__ import annotations

# By `records.Verdict`.
VERDICT_WORDS = {
    "data changed": "the training data changed",
    "reliance moved": "the model moved its reliance",
    "training-only shortcut": "the model relies on what speaks for the label in the training rows alone",
    "rows differ": "the training rows themselves differ from the probe, and the model uses it",
    "rule broken": "a rule on what the model may rely on is broken",
}

# By `records.AlertSource`.
SOURCE_WORDS = {
    "clean": "seen on the fixed probe",
    "live": "seen on the live rows",
    "data": "seen in the live rows themselves",
    "gap": "seen in the live rows beside the probe",
    "rule": "seen by a rule",
}

ADVICE = {
    "data changed": "Compare what the data pipeline gives since this {unit} with what it gave before, and go back to the "
    "weights of before if the change was not meant.",
    "reliance moved": "Look at these features on some samples (tab Explain, or keras-xai report), and go back to the "
    "weights of before if they should not matter.",
    "training-only shortcut": "Check how this feature gets into the training rows (a join with the label, a mark of its source), "
    "and drop it, or exchange its values between rows, and train anew.",
    "rows differ": "Check that both sets are drawn from what the model will meet; re-weight the training rows, or collect a "
    "probe that is like them.",
    "rule broken": "A feature: drop it, or exchange its values between rows, and train anew. A region: look where else the "
    "attribution lies, and mask it. A slice: collect more of its rows, or weigh them more.",
}

# By `records.Blindness`: why shortcuts that were there from the start were not looked for.
BLIND_WORDS = {
    "gap=False": "it was switched off with gap=False",
    "no live rows": "no live rows were given",
    "no labels in the probe": "the probe has no labels",
    "no gradient to any feature": "no gradient leads to any feature",
    "too few rows of each class": "live rows and probe have too few rows of each class in common",
    "class shares that differ": "live rows and probe hold the classes in shares that differ",
    "a probe of training rows": "the probe's rows are training rows",
    "live rows that could not be read": "the live rows could not be read",
    "contributions that are not finite": "the contributions of the features are not finite",
}

# The pages of the documentation, each with a section by verdict.
HOW_TOS = {
    "data changed": "docs/what_to_do_about_an_alert.md#the-training-data-changed",
    "reliance moved": "docs/what_to_do_about_an_alert.md#the-model-moved-its-reliance",
    "training-only shortcut": "docs/what_to_do_about_an_alert.md#a-training-only-shortcut",
    "rows differ": "docs/what_to_do_about_an_alert.md#the-rows-differ",
    "rule broken": "docs/what_to_do_about_an_alert.md#a-rule-is-broken",
}
