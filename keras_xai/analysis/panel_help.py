"""Help on each panel of the tab: what it is, what good and what bad look like, and the page that says more.

The tab shows it at the (i) of a panel's title; a panel is named there as here. For a new panel add an entry.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PanelHelp:
    """Help on one panel."""

    term: str  # of the field
    what: str
    good: str
    bad: str
    page: str  # of the documentation, with the anchor of a heading


PANEL_HELP: dict[str, PanelHelp] = {
    # Overview, importance and drift.
    "drift_score": PanelHelp(
        "Drift score: the largest |z| of a feature",
        "How far the importance of one feature moved at an update, in units of the moves that it usually makes in this run (z). "
        "In the burn-in, the first updates, there is no alarm yet; above the limit an alert is raised. Live rows are training "
        "rows that are read again at every update; the fixed probe never changes.",
        "A line that stays below the limit after the burn-in.",
        "A peak above the limit: the data of the training changed, or the model relies on something else now.",
        "drift#when-it-is-an-alarm",
    ),
    "loss": PanelHelp(
        "Training and validation loss",
        "The loss that Keras reports at the end of each epoch, validation dotted; logarithmic above a factor of ten.",
        "Both fall and end close to each other.",
        "Validation rises while training falls (overfitting), or the line ends: the loss is not finite.",
        "see_where_a_model_memorises",
    ),
    "importance": PanelHelp(
        "Feature importance: share of the mean |attribution|",
        "How much of the model's mean |attribution| over a set of rows each feature has; all shares sum to 100 %.",
        "The features that should matter hold the largest shares, and keep them.",
        "A feature that should not matter (an identifier, a corner of the image) is among the first.",
        "drift#what-is-measured",
    ),
    "importance_change": PanelHelp(
        "Change of feature importance",
        "The features whose share rose and fell most since the last update before the alert, or since the first update.",
        "Short, flat lines late in the training.",
        "One feature takes over what several lose.",
        "drift#what-is-measured",
    ),
    "importance_map": PanelHelp(
        "Feature importance over time",
        "The share of each feature (row) at each update (column); hatched where it was not measured.",
        "Rows that keep their shade after the first updates.",
        "A row that turns dark from one column to the next.",
        "drift#what-is-measured",
    ),
    "importance_cells": PanelHelp(
        "Feature importance as a map of the input",
        "The share of the mean |attribution| that lies in each cell of the image, over all rows of the source.",
        "Dark cells lie where the objects are.",
        "A dark corner or border: a watermark, a frame, a ruler.",
        "catch_a_watermark",
    ),
    "rank_bump": PanelHelp(
        "Ranks of feature importance (bump chart)",
        "The rank of the ten most important features at each update; features of alerts in the alarm colour.",
        "Lines that run flat after the first updates.",
        "A line that climbs to the top late, or many crossings: the model did not settle.",
        "drift#what-is-measured",
    ),
    "alerts": PanelHelp(
        "Alerts and their verdicts",
        "Updates at which a score crossed its limit: the features that moved, and what changed, the data or the model.",
        "None after the burn-in.",
        "A training-only shortcut, or reliance moved: look at the samples before the model is used.",
        "what_to_do_about_an_alert",
    ),
    "run_differences": PanelHelp(
        "Differences between runs",
        "The features whose shares differ most between the ticked runs, at the same update.",
        "Runs that differ in their seed alone have alike shares.",
        "Runs of equal accuracy that rely on other features: accuracy alone does not say which one to trust.",
        "drift#what-is-measured",
    ),
    # Weight gradients.
    "gradient_health": PanelHelp(
        "Gradient health",
        "The root mean square (RMS) of each layer's gradient at each update, on a logarithmic scale; flags at the end of a row.",
        "All rows have a similar shade and fade slowly.",
        "Pale rows (vanishing or dead), a dark column (exploding), hatching (no gradient, or not finite).",
        "weight_gradients#get-a-warning-when-a-layer-stops-learning",
    ),
    "heat_map": PanelHelp(
        "Gradient statistics by variable",
        "One statistic of the gradient that trained each variable, taken from the training step itself, over updates.",
        "Neighbouring layers within two or three powers of ten of each other, without jumps.",
        "A row that fades to nothing, a jump of several powers of ten, hatching where nothing is finite.",
        "weight_gradients#what-is-recorded",
    ),
    "variable_lines": PanelHelp(
        "Gradient of one variable: RMS and maximum",
        "Root mean square and largest |gradient| of the chosen variable over updates, on a logarithmic axis.",
        "A slow decline.",
        "A fall below 10⁻⁷ (vanishing), or the maximum running away from the RMS (a few entries take it all).",
        "weight_gradients#what-is-recorded",
    ),
    "ridge": PanelHelp(
        "Histogram of |gradient| (ridgeline)",
        "The distribution of log₂|gradient| of the chosen variable, one curve an update, the newest in front.",
        "One hill that moves slowly to the left.",
        "Two hills, or a hill at the left edge: part of the variable does not learn.",
        "weight_gradients#what-is-recorded",
    ),
    "update_ratio": PanelHelp(
        "Update-to-weight ratio",
        "The size of one optimizer step relative to the weights that it changes; the guide marks 10⁻³, which is usual.",
        "Near the guide, falling with the learning rate.",
        "Above 10⁻²: the learning rate is too high for this variable; below 10⁻⁵: it hardly learns.",
        "weight_gradients#what-is-recorded",
    ),
    "critical_step": PanelHelp(
        "Critical step: how far the step just taken could have gone",
        "The multiple of an optimizer's step at which the loss of its own batch would rise above its value before the step: the "
        "line is the median of the sampled steps, a dot is one of them. The guide at 1 is the step that was taken.",
        "From 2 to 8 for most of the training; at 1 to 2 the training runs at the edge.",
        "Tens or hundreds while the loss crawls: the learning rate is too low. Below 1 for long: it is too high. With Adam "
        "single steps differ much; look at the line.",
        "weight_gradients#see-whether-the-learning-rate-is-right",
    ),
    # Attributions.
    "attributions": PanelHelp(
        "Attribution maps of the probe",
        "Which parts of each sample speak for the explained output, by the chosen method. The completeness error says how far "
        "the values miss the change of the score that they should sum to; local R² how well a local surrogate fits the model.",
        "Maps lie on what makes the class, and errors are below 5 %.",
        "Maps lie on background, or an error is in the alarm colour: then the values do not add up to the score.",
        "attributions#whether-to-believe-it",
    ),
    "sample": PanelHelp(
        "One sample over time",
        "The model's outputs for the chosen sample at each update, beside its map; the explained output is the thick line.",
        "The probability of the true class rises early and stays.",
        "It falls, or rises only late in the training: a hard sample, a wrong label, or one that is memorised.",
        "attributions#how-it-is-shown",
    ),
    "compare": PanelHelp(
        "Attributions side by side",
        "The same samples at two updates, in two runs or by several methods, and where the attribution went.",
        "Methods of one family agree; runs with other seeds look alike.",
        "The map moved to other parts of the sample while the prediction stayed.",
        "attributions#which-method",
    ),
    # Training rows beside probe.
    "gap_shares": PanelHelp(
        "Reliance gap by feature",
        "Each feature's share of the evidence for the label in the training rows (upwards) and in the probe (to the right).",
        "Points near the diagonal.",
        "A point in the shaded part: the feature speaks for the label in the training rows alone, a shortcut.",
        "reliance_gap#what-is-computed",
    ),
    "gap_evidence": PanelHelp(
        "Evidence for the label: training rows and probe",
        "The mean share of a row's evidence that each feature has, on one scale for both sets of rows.",
        "Both sides have the same bars.",
        "A long bar on the side of the training rows only.",
        "reliance_gap#what-is-computed",
    ),
    "gap_z": PanelHelp(
        "Significance of the reliance gap (z)",
        "The difference between training rows and probe over its standard error, with the limit of an alarm.",
        "Lines below the limit.",
        "A line that crosses the limit and stays above.",
        "reliance_gap#what-is-computed",
    ),
    "gap_rows": PanelHelp(
        "Training rows that carry the shortcut",
        "The training rows in which the features of the alerts speak most for the label.",
        "There are none.",
        "Rows that share a value, a mark or a source: correct or drop them, and train again.",
        "what_to_do_about_an_alert#a-training-only-shortcut",
    ),
    # Mappings.
    "layer_map": PanelHelp(
        "Principal coordinates of a layer",
        "The samples as the chosen layer arranges them, in two dimensions; all updates are turned to one reference.",
        "Classes part from each other as the training goes on.",
        "Points of one class among those of another: wrong labels, or classes that the layer cannot tell apart.",
        "mappings#what-is-recorded",
    ),
    "suspects": PanelHelp(
        "Suspicious labels",
        "Samples with the lowest label quality: the mean of the model's confidence in the label and of the support that linear "
        "probes of the layers, fitted to all other samples, give it; over all updates so far.",
        "Hard samples with right labels.",
        "Wrong labels: correct them and train again.",
        "find_wrong_labels",
    ),
    "row_suspects": PanelHelp(
        "Suspects of all training rows",
        "The training rows whose labels were believed least over the first epochs, by the train step's own outputs. Right: the "
        "share of epochs in which the prediction was the label. Of a model of numbers the rows with the largest loss.",
        "Hard or rare rows with right labels.",
        "Wrong labels: correct them and train again. Many rows left out: they are changed on the way to the model, and the table "
        "does not speak for them.",
        "find_wrong_labels#all-training-rows",
    ),
    "layer_stability": PanelHelp(
        "Representation change: 1 − linear CKA",
        "How much each layer's arrangement of the samples changed since the record before.",
        "Early layers turn pale first, then the later ones.",
        "Layers that stay dark at the end: the training was stopped early, or the learning rate is too high.",
        "mappings#what-is-recorded",
    ),
    "layer_dead": PanelHelp(
        "Dead units",
        "The share of a layer's units that are zero for every sample of the probe.",
        "Pale rows.",
        "A row that darkens: units that never learn again, often after too high a learning rate.",
        "mappings#flags",
    ),
    "layer_scale": PanelHelp(
        "Size of the activations",
        "The standard deviation of a layer's activations on the probe, over that in the run's first record.",
        "Pale rows, which change slowly.",
        "A row that keeps growing: activations explode, often of a single unit. One that turns blue: the layer collapses, or its "
        "activation function is flat where it works.",
        "mappings#what-is-recorded",
    ),
    "layer_saturation": PanelHelp(
        "Saturated units",
        "The share of activations in a flat part of their activation function, where hardly any gradient flows.",
        "Pale rows.",
        "Dark rows in early layers: their weights hardly learn.",
        "mappings#flags",
    ),
    "layer_participation": PanelHelp(
        "Effective dimension: participation ratio",
        "How many directions share the variance of a layer, (Σw)²/Σw² of its eigenvalues w.",
        "The last layers need about as many directions as there are classes.",
        "A fall to one: the layer tells samples apart along one direction alone.",
        "mappings#what-is-recorded",
    ),
    "prediction_depth": PanelHelp(
        "Prediction depth",
        "The share of samples that are decided only behind a layer: its linear probe, or that of a later layer, predicts another "
        "class than the model (Baldock et al. 2021).",
        "It falls towards 0 from layer to layer, and as the training goes on.",
        "It rises in the last layers before the output: hard samples, or labels that are memorised.",
        "mappings#where-a-prediction-is-decided",
    ),
    "layer_spread": PanelHelp(
        "Spread between samples",
        "The share of a layer's power that differs from sample to sample.",
        "Well above zero in all layers.",
        "Near zero: the layer says the same of every sample (collapse).",
        "mappings#flags",
    ),
    "layer_likeness": PanelHelp(
        "Similarity of layers: linear CKA",
        "How alike two layers arrange the samples: 1 is the same up to rotation and scale, 0 unrelated.",
        "Neighbours are alike, the first and the last are not.",
        "A block of layers that are all alike: they add nothing to each other.",
        "mappings#what-is-recorded",
    ),
    "readability": PanelHelp(
        "Linear probe accuracy by layer",
        "How well a linear classifier reads the label from each layer, every sample left out in turn.",
        "It rises from layer to layer.",
        "High in the first layer: a simple cue decides. Flat at chance: the layers do not learn the label.",
        "mappings#what-is-recorded",
    ),
    "concept_effects": PanelHelp(
        "What the model says along a concept",
        "How the log-odds of a class, or the number, would change by the shift that a concept's examples make in a layer (TCAV, "
        "the length of the shift kept). Inside the band effects are small; dots are shown to be larger, beside random concepts.",
        "Concepts that should matter leave the band as the training goes on; the others stay inside.",
        "A line that leaves the band with dots, of a concept that should not matter: the model uses it from there on.",
        "mappings#concepts",
    ),
    "concept_readability": PanelHelp(
        "Layers that tell a concept",
        "The AUC with which a linear readout of the layer tells left-out examples of a concept from counter-examples.",
        "High where the concept is plain to see, also where the model does not use it.",
        "At chance in all layers: nothing can be measured; give more examples, or examples that differ in the concept alone.",
        "mappings#concepts",
    ),
    "surrogates": PanelHelp(
        "Linear surrogate: R² and agreement",
        "How much of the model's outputs a linear regression of the inputs explains (R²), and how often its class agrees.",
        "R² falls while held-out accuracy rises: the model learns what is not linear.",
        "R² falls together with held-out accuracy: the model memorises.",
        "see_where_a_model_memorises",
    ),
    "surrogate_coefficients": PanelHelp(
        "Coefficients of the linear surrogate",
        "The effect of each feature on each class, per standard deviation of the feature.",
        "Signs and sizes that one would expect.",
        "A large coefficient of a feature that should not matter.",
        "mappings#what-is-recorded",
    ),
    "data_map": PanelHelp(
        "Dataset cartography",
        "Mean confidence in the label over the updates so far (upwards) against its variability (to the right), by sample.",
        "Most points at the top left: learned early, and kept.",
        "Points at the bottom left, the suspicious samples: look at their labels.",
        "find_wrong_labels",
    ),
    "trajectories": PanelHelp(
        "Confidence in the label over time",
        "The probability that the model gives to the label of the samples that it believes least, and the median of all.",
        "The median rises early; few lines stay low.",
        "Lines that rise only late: labels learnt by heart.",
        "see_where_a_model_memorises",
    ),
    # Predictions.
    "confusion": PanelHelp(
        "Confusion matrix",
        "How many rows of each true class (rows) are predicted as which class (columns); colour is the share of the true class. "
        "A cell shows the rows behind it.",
        "A dark diagonal.",
        "A dark cell beside it: one class is read as another. Look at its rows: they are hard, or their labels are wrong.",
        "predictions#the-figures",
    ),
    "examples": PanelHelp(
        "Rows behind the predictions",
        "Rows of the probe: those of the chosen cell, else those that are wrong, the surest first. An arrow leads to the maps of "
        "a row that the gallery shows.",
        "Rows that a person would find hard, too.",
        "Sure and wrong: a wrong label, or a shortcut that misleads the model.",
        "find_wrong_labels",
    ),
    "confusions": PanelHelp(
        "Most frequent confusions",
        "The pairs of a true and another predicted class with the most rows.",
        "Pairs that are alike to a person, too.",
        "A pair that has nothing in common: look at the maps of its rows.",
        "predictions#the-figures",
    ),
    "class_metrics": PanelHelp(
        "Precision, recall and F1 by class",
        "Precision is how much of what is read as a class is of it, recall how much of a class is read as it, F1 their harmonic "
        "mean; support is the number of its rows.",
        "Alike values for all classes.",
        "Low recall of a class of few rows: the model neglects it. Low precision: others are taken for it.",
        "predictions#the-figures",
    ),
    "predicted_classes": PanelHelp(
        "Distribution of the predicted classes",
        "How many rows of a probe without labels are read as each class, and how surely.",
        "Shares that one would expect of the data.",
        "One class takes all rows, or one is never predicted.",
        "predictions#what-is-recorded",
    ),
    "calibration": PanelHelp(
        "Calibration: reliability diagram and ECE",
        "Accuracy against certainty, the probability of the prediction, in 15 bins; a dot's area is the number of predictions. "
        "The expected calibration error (ECE) is the mean distance from the diagonal, beside the one that chance alone makes.",
        "Dots on the diagonal, and an ECE near the one of chance.",
        "Dots below it: the model is surer than it is right. Scale its logits, or stop earlier.",
        "predictions#the-figures",
    ),
    "truth_histogram": PanelHelp(
        "Distribution of the probability of the true class",
        "How many rows get which probability of their true class; those that are wrong in the alarm colour.",
        "A high bar at the right.",
        "Bars at the far left: the model is sure and wrong, or the label is.",
        "predictions#the-figures",
    ),
    "predicted_against_true": PanelHelp(
        "Predicted against true",
        "One point a row of the probe; on the dashed line the prediction is the truth. R² is 1 less the part of the variance "
        "that is left.",
        "A narrow band along the line.",
        "A flat cloud (the mean is predicted), a bend, or single points far away.",
        "predictions#the-figures",
    ),
    "residuals": PanelHelp(
        "Distribution of the residuals",
        "How many rows have which residual, predicted less true.",
        "One narrow hill over 0.",
        "A hill beside 0 (a bias), two hills (a part of the data is missed), or a long tail.",
        "predictions#the-figures",
    ),
    "errors": PanelHelp(
        "Root mean square error, mean absolute error, R²",
        "The errors of each output over the rows of the probe, in the unit of the output; R² has none.",
        "RMSE close to the MAE, R² near 1.",
        "An RMSE far above the MAE: few rows are far off. R² below 0: worse than the mean.",
        "predictions#the-figures",
    ),
    "slice_metrics": PanelHelp(
        "Accuracy, confidence and loss by slice",
        "Of the rows of each value the share that is right, the mean probability of the true class, and the mean −ln of it.",
        "Alike values in all slices.",
        "A slice far below the others; of few rows it may be chance: see how sure it is.",
        "slices#how-sure-it-is",
    ),
    "samples_moved": PanelHelp(
        "Samples whose output changed most",
        "The samples of the gallery whose output moved most since before the alert, or of which the model is least sure.",
        "Small moves late in the training.",
        "Samples that were right and are wrong now: look at their maps.",
        "what_to_do_about_an_alert",
    ),
    "runs_table": PanelHelp(
        "Runs and their verdicts",
        "One row a run: its verdict, its highest score, the feature behind it, its metric and its flags.",
        "Quiet runs whose metric is high.",
        "A high metric beside an alarm: the model may be right for the wrong reason.",
        "what_to_do_about_an_alert",
    ),
    # Slices.
    "slice_accuracy": PanelHelp(
        "Accuracy by slice",
        "How often the model is right in the least accurate slices of the probe; the band holds 95 % for the lowest, dashed is "
        "the whole probe.",
        "Lines close to the dashed one.",
        "A line that stays below it with its band: the model fails in this slice.",
        "slices#how-sure-it-is",
    ),
    "slice_importance": PanelHelp(
        "Feature importance by slice",
        "The share of each feature in each part of the probe.",
        "Alike shares in all slices.",
        "A feature that matters in one slice alone.",
        "slices#what-is-recorded",
    ),
    "slice_readout": PanelHelp(
        "Linear probe accuracy for the slice",
        "How well a linear classifier reads from each layer which slice a sample belongs to, every sample left out in turn.",
        "Near chance in the last layers: the model forgets where a sample comes from.",
        "Well above chance in the last layers: the model could use it.",
        "slices#what-is-recorded",
    ),
}
