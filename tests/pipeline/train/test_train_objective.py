"""The loss and the gradients of a batch: whole, in parts, and over several processes."""

import os
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pytest
import torch

import pipeline.torchvision_ops  # noqa: F401 - before open_clip

# isort: split
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

from pipeline.train import TrainConfig
from pipeline.train.choices import choices
from pipeline.train.cost import flops_per_sample
from pipeline.train.distributed import Processes
from pipeline.train.loop import Trainer
from pipeline.train.objective import Objective, loss_for
from schemas.errors import UsageError


def tiny(*, bias=None, patch_dropout=0.0):
    """A ViT with a text tower, of some thousand weights, always the same."""
    torch.manual_seed(5)
    vision = CLIPVisionCfg(image_size=16, patch_size=4, layers=2, width=32, head_width=16, patch_dropout=patch_dropout)
    text = CLIPTextCfg(context_length=8, vocab_size=50, layers=2, width=32, heads=2)
    return CLIP(24, vision, text, init_logit_bias=bias, output_dict=True).train()


def batch(size, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(size, 3, 16, 16, generator=random), torch.randint(0, 50, (size, 8), generator=random)


def gradients(model, *, loss="clip", parts=1, size=12):
    """The loss of a batch and the gradient of every weight; the order of random numbers is the same for all."""
    torch.manual_seed(9)
    objective = Objective(net=model, loss=loss_for(loss, Processes()), arithmetic=nullcontext, parts=parts)
    value = objective(*batch(size))
    return float(value), {name: weight.grad.clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("loss", ["clip", "siglip"])
@pytest.mark.parametrize("parts", [2, 3, 12])
def test_a_batch_in_parts_has_the_loss_and_the_gradients_of_the_whole(loss, parts):
    bias = -10.0 if loss == "siglip" else None
    expected, found = (gradients(tiny(bias=bias), loss=loss, parts=number) for number in (1, parts))
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    assert found[1].keys() == expected[1].keys()
    assert "logit_scale" in found[1]
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_parts_with_dropout_repeat_it_for_the_gradients():
    """Each part's features are computed twice. Were other patches dropped the second time, gradients would not be the loss's."""
    model, epsilon = tiny(patch_dropout=0.5), 1e-3
    _, found = gradients(model, parts=3)
    weight = model.visual.proj
    direction = found["visual.proj"] / found["visual.proj"].norm()
    losses = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.add_(sign * epsilon * direction)
        losses.append(gradients(model, parts=3)[0])
        with torch.no_grad():
            weight.sub_(sign * epsilon * direction)
    assert (losses[0] - losses[1]) / (2 * epsilon) == pytest.approx(float(found["visual.proj"].norm()), rel=0.01)


def test_a_model_that_normalises_over_the_batch_is_not_trained_in_parts(demo_clip):
    run = choices(TrainConfig(shards="s", subset="s.npy", scale="demo", out="o", accumulate=4))
    with pytest.raises(UsageError, match="--accumulate 4: demo normalises over the batch"):
        Trainer(demo_clip, run, Processes())


IN_PROCESSES = """
import sys
from contextlib import nullcontext
from torch.nn.parallel import DistributedDataParallel
from pipeline.train.distributed import joined
from pipeline.train.objective import Objective, loss_for
import numpy as np
import torch
sys.path.insert(0, sys.argv[1])
from test_train_objective import batch, tiny

found = {}
with joined("cpu") as (here, _):
    for loss in ("clip", "siglip"):
        for parts in (1, 3):
            model = tiny(bias=-10.0 if loss == "siglip" else None)
            objective = Objective(
                net=DistributedDataParallel(model), loss=loss_for(loss, here), arithmetic=nullcontext, parts=parts
            )
            size = 12 // here.world
            mine = slice(here.rank * size, (here.rank + 1) * size)
            value = here.mean(objective(*(each[mine] for each in batch(12))))
            found[f"{loss} {parts} loss"] = value.numpy()
            found |= {f"{loss} {parts} {name}": weight.grad.numpy() for name, weight in model.named_parameters()}
    if here.is_first:
        np.savez(sys.argv[2], **found)
"""


def test_two_processes_in_parts_have_the_loss_and_the_gradients_of_one(tmp_path):
    script, out = tmp_path / "script.py", tmp_path / "found.npz"
    script.write_text(IN_PROCESSES)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    folder = os.path.dirname(__file__)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *launch, str(script), folder, str(out)], env=environment, check=True, timeout=300)
    with np.load(out) as found:
        for loss, bias in (("clip", None), ("siglip", -10.0)):
            value, expected = gradients(tiny(bias=bias), loss=loss)
            for parts in (1, 3):
                assert float(found[f"{loss} {parts} loss"]) == pytest.approx(value, rel=1e-6)
                for name, gradient in expected.items():
                    np.testing.assert_allclose(found[f"{loss} {parts} {name}"], gradient, rtol=1e-4, atol=1e-5, err_msg=name)


def test_operations_of_a_pair_are_those_of_the_matrices(demo_clip):
    """A ViT with 17 tokens of width 32 in 2 layers and a text tower with 8: products of matrices, forward and twice backward."""

    class Wrapped:
        model, image_size_px = tiny(), 16

        @staticmethod
        def tokenizer(_):
            return torch.zeros(1, 8)

    def layers(tokens, width=32):
        products = 12 * width**2 * tokens + 2 * tokens**2 * width  # weights; queries by keys, and by values
        return 2 * 2 * products  # two layers, a multiply-add counts as two

    patches = 2 * 16 * (3 * 4 * 4) * 32
    towers = layers(17) + layers(8) + 2 * 2 * 32 * 24
    assert flops_per_sample(Wrapped) == pytest.approx(3 * towers + 2 * patches, rel=0.02)
    assert next(Wrapped.model.parameters()).grad is None
    assert flops_per_sample(demo_clip) > 1e7
