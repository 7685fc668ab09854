"""Curves E(C) = a · C^-α + E∞ through points of error against compute, fitted to many draws of the errors at once.

Least squares of the log error, so that a point counts by its relative distance from the curve. The form with a floor is the
usual one where points are enough (Cherti et al. 2023; Nezhurina, Cherti and Jitsev 2025); it starts from the best of a grid of
floors, for each of which the rest is a straight line in the logarithms, and goes on by Levenberg-Marquardt steps inside bounds.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Form = Literal["power", "power_floor"]

MOST_ALPHA = 4.0
_FLOORS = 1 - np.geomspace(1, 1e-3, 24)  # of the lowest error
_MOST_FLOOR = 0.999  # of the lowest error
_STEPS = 16


@dataclass(frozen=True)
class Curves:
    """B curves. Compute is in units of `unit`, so that `a` is the error above the floor in the midst of the points."""

    unit: float
    a: np.ndarray  # (B,)
    alpha: np.ndarray  # (B,)
    floor: np.ndarray  # (B,)

    def at(self, compute: np.ndarray) -> np.ndarray:
        """(B, P): the errors at (P,) compute."""
        x = np.log(np.asarray(compute) / self.unit)
        above = self.a[:, None] * np.exp(-self.alpha[:, None] * x)
        return np.asarray(above + self.floor[:, None])


def fit(compute: np.ndarray, errors: np.ndarray, form: Form) -> Curves:
    """The curve of each row of errors (B, P), all above 0, at compute (P,), at least two of them distinct."""
    unit = float(np.exp(np.log(compute).mean()))
    x = np.log(compute / unit)
    if form == "power":
        slope, level, _ = _line(x, np.log(errors), np.ones_like(errors))
        return Curves(unit, np.exp(level), -slope, np.zeros(len(errors)))
    level, alpha, floor = _refined(x, errors, _start(x, errors)).T
    return Curves(unit, np.exp(level), alpha, floor)


def _line(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slope and level at x = 0 of the weighted straight line through each row of y (…, P), and the mean of x."""
    total = weights.sum(axis=-1)
    middle, height = (weights * x).sum(axis=-1) / total, (weights * y).sum(axis=-1) / total
    apart = x - middle[..., None]
    slope = (weights * apart * y).sum(axis=-1) / (weights * apart**2).sum(axis=-1)
    return slope, height - slope * middle, middle


def _start(x: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """(B, 3): log a, alpha and floor of the best floor of the grid."""
    floors = errors.min(axis=1)[:, None] * _FLOORS  # (B, F)
    above = errors[:, None, :] - floors[:, :, None]
    # A relative error of E is one of E − floor, times this.
    weights = (above / errors[:, None, :]) ** 2
    slope, level, middle = _line(x, np.log(above), weights)
    alpha = np.clip(-slope, 0, MOST_ALPHA)
    level = level + (slope + alpha) * middle  # a line whose slope met its bound turns about its own middle
    fitted = np.exp(level[..., None] - alpha[..., None] * x) + floors[..., None]
    best = (np.log(fitted / errors[:, None, :]) ** 2).sum(axis=2).argmin(axis=1)[:, None]
    return np.concatenate([np.take_along_axis(each, best, axis=1) for each in (level, alpha, floors)], axis=1)


def _refined(x: np.ndarray, errors: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The same after Levenberg-Marquardt steps; a step that does not help is not taken."""
    most_floor = _MOST_FLOOR * errors.min(axis=1)
    found, damping = start, np.full(len(start), 1e-3)
    loss, residual, jacobian = _residual(x, errors, found)
    for _ in range(_STEPS):
        step = _step(residual, jacobian, damping, found, most_floor)
        tried = found + step
        tried[:, 1] = tried[:, 1].clip(0, MOST_ALPHA)
        tried[:, 2] = tried[:, 2].clip(0, most_floor)
        new_loss, new_residual, new_jacobian = _residual(x, errors, tried)
        better = new_loss < loss
        found = np.where(better[:, None], tried, found)
        loss = np.where(better, new_loss, loss)
        residual = np.where(better[:, None], new_residual, residual)
        jacobian = np.where(better[:, None, None], new_jacobian, jacobian)
        damping = np.where(better, damping / 5, damping * 5).clip(1e-12, 1e12)
    return found


def _residual(x: np.ndarray, errors: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum of squares (B,), log errors less fitted ones (B, P), and the slopes of the fitted ones (B, P, 3)."""
    above = np.exp(at[:, :1] - at[:, 1:2] * x)
    fitted = above + at[:, 2:]
    residual = np.log(errors / fitted)
    share = above / fitted
    return (residual**2).sum(axis=1), residual, np.stack([share, -x * share, 1 / fitted], axis=2)


def _step(residual: np.ndarray, jacobian: np.ndarray, damping: np.ndarray, at: np.ndarray, most_floor: np.ndarray) -> np.ndarray:
    """(B, 3): the damped step; none along a bound that it would cross from where it stands."""
    gradient = np.einsum("bpk,bp->bk", jacobian, residual)
    low = np.stack([np.full(len(at), -np.inf), np.zeros(len(at)), np.zeros(len(at))], axis=1)
    high = np.stack([np.full(len(at), np.inf), np.full(len(at), MOST_ALPHA), most_floor], axis=1)
    free = ~(((at <= low) & (gradient < 0)) | ((at >= high) & (gradient > 0)))
    jacobian = jacobian * free[:, None, :]
    curvature = np.einsum("bpk,bpl->bkl", jacobian, jacobian)
    diagonal = np.einsum("bkk->bk", curvature)
    diagonal = diagonal * (1 + damping[:, None]) + np.where(free, 1e-12, 1.0)
    curvature[:, range(3), range(3)] = diagonal
    return np.asarray(np.linalg.solve(curvature, (gradient * free)[..., None])[..., 0])
