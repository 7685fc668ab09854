"""rankings: what `rank` says of each filter, one row per filter, scale, samples seen, task and metric."""

import pyarrow as pa

from schemas.columns import column, required, table

BASELINE = "no_filter"  # what every filter is compared with
AVERAGE = "average"  # the task that is the mean over all tasks

RANKINGS = table(
    "One metric of one filter at one compute, with its uncertainty over seeds and test items.",
    [
        required("filter", pa.string(), "name of the subset the models were trained on"),
        required("scale", pa.string(), "training scale, e.g. demo, micro, small"),
        required("model", pa.string(), "model architecture, an open_clip name or one of ours"),
        required("samples_seen", pa.int64(), "training samples seen when the metric was taken", "samples"),
        required("task", pa.string(), "evaluation set, or `average` over all of them"),
        required("metric", pa.string(), "e.g. acc1, image_retrieval_recall@1; main_metric on `average`"),
        required("n_seeds", pa.int32(), "training seeds behind the mean"),
        required("mean", pa.float64(), "mean over seeds", "fraction, 0 to 1"),
        column("sd", pa.float64(), "standard deviation over seeds (n - 1); null with one seed", "fraction"),
        required("ci_low", pa.float64(), "lower end of the 95 % interval of the mean; test items only with one seed", "fraction"),
        required("ci_high", pa.float64(), "upper end of the 95 % interval of the mean", "fraction"),
        column(
            "p_better_than_no_filter",
            pa.float64(),
            "one-sided bootstrap p that no_filter is as good, Holm-corrected over the filters; null for no_filter",
        ),
        required("rows", pa.int64(), "pairs in the subset", "pairs"),
        required("repeats", pa.float64(), "samples seen ÷ rows: how often the data repeats"),
        column("difference", pa.float64(), "mean minus no_filter's over the seeds both have; null for no_filter", "fraction"),
        column("difference_low", pa.float64(), "lower end of the paired 95 % interval of the difference", "fraction"),
        column("difference_high", pa.float64(), "upper end of the paired 95 % interval of the difference", "fraction"),
        column(
            "verdict",
            pa.string(),
            "better or worse (interval beside 0, corrected p of that side below 0.05), else tie; null for no_filter",
        ),
    ],
)
