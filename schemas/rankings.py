"""rankings and pairs: what `rank` says of each filter on each task, and of every two filters on the average."""

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
            "better or worse (interval beside 0, corrected p of that side below 0.025), else tie; null for no_filter",
        ),
        column("control", pa.string(), "the random subset of the same size that it is compared with; null where there is none"),
        column("control_difference", pa.float64(), "mean minus the control's over the seeds both have", "fraction"),
        column("control_difference_low", pa.float64(), "lower end of its paired 95 % interval", "fraction"),
        column("control_difference_high", pa.float64(), "upper end of it", "fraction"),
        column(
            "p_better_than_control",
            pa.float64(),
            "one-sided bootstrap p that the control is as good, Holm-corrected over the filters that have one",
        ),
        column("control_verdict", pa.string(), "better, worse or tie against the control, by the same rule as verdict"),
    ],
)

PAIRS = table(
    "Every two filters at one compute, on the average over tasks: which is ahead, and how sure that is.",
    [
        required("scale", pa.string(), "training scale"),
        required("model", pa.string(), "model architecture"),
        required("samples_seen", pa.int64(), "training samples seen", "samples"),
        required("filter", pa.string(), "the filter with the higher mean over the seeds both have"),
        required("other", pa.string(), "the other one"),
        required("n_seeds", pa.int32(), "seeds that both have; the difference is paired over them"),
        required("difference", pa.float64(), "mean of filter minus mean of other, over the seeds both have", "fraction"),
        required(
            "difference_low", pa.float64(), "lower end of the paired 95 % interval; test items only with one seed", "fraction"
        ),
        required("difference_high", pa.float64(), "upper end of it", "fraction"),
        required(
            "probability",
            pa.float64(),
            "probability that filter is ahead, as if no other pair were looked at: share of bootstrap draws",
        ),
        required("p", pa.float64(), "two-sided bootstrap p of no difference, Holm-corrected over all pairs at this compute"),
        required("verdict", pa.string(), "better (filter is, p below 0.05 and the interval beside 0) or tie"),
    ],
)
