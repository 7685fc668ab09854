"""Our numbers against CLIP_benchmark's own code, on the same model and the same items."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

import pipeline.torchvision_ops  # noqa: F401 - before clip_benchmark, which imports torchvision
from pipeline.clip import load_clip
from pipeline.evaluate import EvaluateConfig, run
from pipeline.evaluate.sources.tasks import TEMPLATES
from tests.pipeline.evaluate.conftest import captioned, classified, lines_of, picture, write_webdataset

pytest.importorskip("clip_benchmark")
from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval


def top_k(logits, target, topk):
    """In place of CLIP_benchmark's accuracy(), which new versions of NumPy refuse: it turns arrays of one number into floats."""
    return [(logits.topk(k, 1).indices == target[:, None]).any(1).double().mean().item() for k in topk]


@pytest.fixture(autouse=True)
def _accuracy(monkeypatch):
    monkeypatch.setattr(zeroshot_classification, "accuracy", top_k)


class Batches:
    """What CLIP_benchmark takes for a data loader: batches of (images, labels), and the classes of its dataset."""

    def __init__(self, batches, classes=()):
        self.batches = batches
        self.dataset = type("Dataset", (), {"classes": list(classes)})

    def __iter__(self):
        return iter(self.batches)


def batches_of(clip, samples, labels, size=16):
    images = [clip.preprocess(Image.open(io.BytesIO(sample["png"])).convert("RGB")) for sample in samples]
    starts = range(0, len(samples), size)
    return [(torch.stack(images[at : at + size]), labels[at : at + size]) for at in starts]


def evaluated(trained, tmp_path):
    run(
        EvaluateConfig(model=str(trained), eval=str(tmp_path / "eval"), out=str(tmp_path / "r.jsonl"), device="cpu", batch_size=7)
    )
    (line,) = (line for line in lines_of(tmp_path / "r.jsonl") if line["samples_seen"] == 256)
    return line["metrics"]


@pytest.mark.filterwarnings("ignore")  # of the libraries that CLIP_benchmark stands on
@pytest.mark.parametrize("n_classes", [3, 7])
def test_classification_is_clip_benchmark_s_to_the_last_hit(trained, tmp_path, n_classes):
    names = [f"class {number}" for number in range(n_classes)]
    samples = [{"png": picture(number), "cls": str(number * number % n_classes).encode()} for number in range(60)]
    templates = [template.replace("{}", "{c}") for template in TEMPLATES]
    write_webdataset(tmp_path / "eval" / "wds_squares_test", samples, classes=names, templates=templates)
    ours = evaluated(trained, tmp_path)
    clip = load_clip("demo", str(trained / "checkpoint_000000000256.pt"))
    labels = torch.tensor([int(sample["cls"]) for sample in samples])
    batches = Batches(batches_of(clip, samples, labels), names)
    theirs = zeroshot_classification.evaluate(clip.model, batches, clip.tokenizer, names, templates, "cpu", amp=False)
    for metric in ("acc1", "mean_per_class_recall", *(["acc5"] if n_classes >= 5 else [])):
        assert ours[metric] == pytest.approx(theirs[metric], abs=1e-6)
    assert ("acc5" in ours) == (not np.isnan(theirs["acc5"]))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("captions", [1, 5])
def test_retrieval_is_clip_benchmark_s_with_one_caption_and_with_several(trained, tmp_path, captions):
    samples = captioned(40, captions)
    write_webdataset(tmp_path / "eval" / "wds_squares", samples, classes=None, templates=None, kind="retrieval")
    ours = evaluated(trained, tmp_path)
    clip = load_clip("demo", str(trained / "checkpoint_000000000256.pt"))
    texts = [sample["txt"].decode().splitlines() for sample in samples]
    batches = batches_of(clip, samples, texts)
    theirs = zeroshot_retrieval.evaluate(clip.model, batches, clip.tokenizer, device="cpu", amp=False, recall_k_list=[1, 5, 10])
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs, abs=1e-6)
    mean = (theirs["image_retrieval_recall@1"] + theirs["text_retrieval_recall@1"]) / 2
    assert ours["main_metric"] == pytest.approx(mean, abs=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_our_own_templates_are_used_as_clip_benchmark_would_use_them(trained, tmp_path):
    samples = classified(30)
    write_webdataset(tmp_path / "eval" / "wds_squares", samples, templates=None)
    ours = evaluated(trained, tmp_path)
    clip = load_clip("demo", str(trained / "checkpoint_000000000256.pt"))
    names, templates = ["red", "green", "blue"], [template.replace("{}", "{c}") for template in TEMPLATES]
    labels = torch.tensor([int(sample["cls"]) for sample in samples])
    batches = Batches(batches_of(clip, samples, labels), names)
    theirs = zeroshot_classification.evaluate(clip.model, batches, clip.tokenizer, names, templates, "cpu", amp=False)
    assert ours["acc1"] == pytest.approx(theirs["acc1"], abs=1e-6)
