"""scalings: what `rank` reads off several points of compute: a curve per filter, and where two filters' curves cross."""

import pyarrow as pa

from schemas.columns import column, required, table

# More than one architecture in a fit is written as this in `model`: its points are the lower envelope over all of them.
ENVELOPE = "envelope"

SCALINGS = table(
    "The error of one filter against compute, fitted: E(C) = a · C^-alpha + e_inf, C in units of `compute_unit`.",
    [
        required("filter", pa.string(), "name of the subset the models were trained on"),
        required("scale", pa.string(), "training scale, or several joined by +"),
        required("model", pa.string(), "model architecture, or `envelope` where the fit is over several"),
        required("task", pa.string(), "evaluation set, or `average` over all of them"),
        required("metric", pa.string(), "the metric whose error 1 - mean is fitted"),
        required("n_points", pa.int32(), "points of compute that the curve is fitted over; the held-out fit has one less"),
        required("n_seeds", pa.int32(), "fewest seeds behind a point; with 1 intervals and bands cover test items only"),
        required("compute_unit", pa.string(), "flops (training, forward and backward) or samples (seen)"),
        required(
            "form", pa.string(), "power (a, alpha) or power_floor (a, alpha, e_inf); power where points are fewer than five"
        ),
        required("a", pa.float64(), "error at one unit of compute above the floor"),
        required("alpha", pa.float64(), "exponent; larger falls faster"),
        required("e_inf", pa.float64(), "error that no compute removes; 0 in the form power", "fraction"),
        column("alpha_low", pa.float64(), "lower end of the bootstrap's 95 % interval of alpha"),
        column("alpha_high", pa.float64(), "upper end of it"),
        required("points_compute", pa.list_(pa.float64()), "compute of the points, ascending, in compute_unit"),
        required("points_error", pa.list_(pa.float64()), "error measured there", "fraction"),
        required(
            "curve_compute", pa.list_(pa.float64()), "compute at which the curve and its band are told, up to 10 × the largest"
        ),
        required("curve_error", pa.list_(pa.float64()), "fitted error there", "fraction"),
        required("curve_low", pa.list_(pa.float64()), "lower end of the 95 % band", "fraction"),
        required("curve_high", pa.list_(pa.float64()), "upper end of the 95 % band", "fraction"),
        column("held_out_compute", pa.float64(), "the largest point, left out of a second fit that predicts it"),
        column("held_out_error", pa.float64(), "error measured there", "fraction"),
        column("predicted", pa.float64(), "error predicted there by the fit without it", "fraction"),
        column(
            "predicted_low",
            pa.float64(),
            "lower end of the 95 % interval in which the measured error was to be expected",
            "fraction",
        ),
        column("predicted_high", pa.float64(), "upper end of it", "fraction"),
        required("repeats", pa.float64(), "samples seen ÷ rows at the largest point: how often the data repeats there"),
    ],
)

CROSSINGS = table(
    "Two filters whose fitted curves cross: which is ahead before, which after, and how sure that is.",
    [
        required("before", pa.string(), "filter with the lower error at less compute"),
        required("after", pa.string(), "filter with the lower error at more compute"),
        required("model", pa.string(), "model architecture, or `envelope`"),
        required("task", pa.string(), "evaluation set, or `average`"),
        required("metric", pa.string(), "the metric whose error was fitted"),
        required("compute_unit", pa.string(), "flops or samples"),
        required("compute", pa.float64(), "where the curves cross"),
        column("compute_low", pa.float64(), "lower end of the bootstrap's 95 % interval among the draws that cross"),
        column("compute_high", pa.float64(), "upper end of it"),
        required("probability", pa.float64(), "share of bootstrap draws in which they cross within the range told", "fraction"),
        required("extrapolated", pa.bool_(), "whether it lies beyond the largest point measured"),
    ],
)
