"""Training scales: how long, with which model and with which hyper-parameters. One table, one place."""

from dataclasses import dataclass

from schemas.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Scale:
    """One scale. `checkpoints` are fractions of the budget at which the model is saved: points of the scaling curve."""

    model: str
    samples_seen: int  # samples
    batch_size: int  # samples
    learning_rate: float
    warmup_steps: int
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-6
    weight_decay: float = 0.2
    crop_scale: float = 1.0  # least share of an image's area that a random crop keeps; 1: the whole image, always
    checkpoints: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)


# small … xlarge: model, batch, learning rate, warm-up, budget and beta2 as in DataComp's scale_configs.py (Gadre et al. 2023,
# appendix on training); where it gives none, its train.py leaves what open_clip's trainer takes for a ViT: betas 0.9 and 0.98,
# epsilon 1e-6, decay 0.2, random crops of 0.9 to 1 of the area, gradients not clipped. DataComp decays the rate along a cosine;
# here it is constant after warm-up (or falls at the end: --cooldown), so that one run gives several points.
SCALES = {
    "demo": Scale(
        model="demo",
        samples_seen=20_480,
        batch_size=128,
        learning_rate=1e-3,
        warmup_steps=10,
        weight_decay=0.1,
    ),
    "micro": Scale(model="micro", samples_seen=2_560_000, batch_size=512, learning_rate=1e-3, warmup_steps=200, weight_decay=0.1),
    "small": Scale(
        model="ViT-B-32", samples_seen=12_800_000, batch_size=4_096, learning_rate=5e-4, warmup_steps=500, crop_scale=0.9
    ),
    "medium": Scale(
        model="ViT-B-32", samples_seen=128_000_000, batch_size=4_096, learning_rate=5e-4, warmup_steps=500, crop_scale=0.9
    ),
    "large": Scale(
        model="ViT-B-16", samples_seen=1_280_000_000, batch_size=8_192, learning_rate=5e-4, warmup_steps=500, crop_scale=0.9
    ),
    "xlarge": Scale(
        model="ViT-L-14",
        samples_seen=12_800_000_000,
        batch_size=90_112,
        learning_rate=1e-3,
        warmup_steps=10_000,
        beta2=0.95,
        crop_scale=0.9,
    ),
}


def scale_of(name: str) -> Scale:
    """The scale of that name. Raises UserError naming the choices."""
    if name not in SCALES:
        raise UserError(f"scale {name!r}: no such scale; choose from {', '.join(SCALES)}")
    return SCALES[name]


def checkpoint_steps(scale: Scale, samples_seen: int) -> list[int]:
    """Steps after which the model is saved, ascending, the last at the end of the budget (whole batches only)."""
    total = samples_seen // scale.batch_size
    return sorted({max(1, round(total * fraction)) for fraction in (*scale.checkpoints, 1.0)})
