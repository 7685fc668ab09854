"""The learning rate of each step: it rises in a straight line, stays, and may fall to 0 in a straight line at the end."""


def learning_rate(step: int, *, peak: float, warmup_steps: int, n_steps: int, cooldown: float = 0.0) -> float:
    """The rate of step `step`, from 0, of `n_steps`; `cooldown` is the share of the steps, the last ones, in which it falls.

    The first step has peak / warmup_steps, the last, with a cooldown of c steps, peak / c: after it the rate would be 0. Where
    warm-up and cooldown meet, warm-up goes first. The same as `const` and `const-cooldown` of open_clip's trainer.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    cooldown_steps = round(n_steps * cooldown)
    left = n_steps - step
    return peak * left / cooldown_steps if left < cooldown_steps else peak


__all__ = ["learning_rate"]
