"""The sets of DataComp's evaluation (Gadre et al. 2023): key, name, main metric, size, and which folders are taken for each."""

import re
from dataclasses import dataclass
from typing import Literal

from pipeline.evaluate.sources.tasks import MAIN_CLASSIFICATION, MAIN_RETRIEVAL
from pipeline.evaluate.special_metrics import F1_MACRO, JACCARD

N_SETS = 38


@dataclass(frozen=True)
class KnownSet:
    """One set. `images`: in its test split; for WinoGAViL, puzzles. `groups`: column of the samples' `npy` that parts them."""

    key: str
    name: str
    images: int
    main_metric: str = MAIN_CLASSIFICATION
    kind: Literal["classification", "retrieval", "association"] = "classification"
    others: tuple[str, ...] = ()  # further names of its folder
    groups: int | None = None

    @property
    def names(self) -> frozenset[str]:
        """What `plain_name` makes of its folder, wherever that comes from."""
        short = re.sub(r"^(fairness|retrieval|misc)/", "", self.key)
        bare = self.key.rsplit("/", 1)[-1]
        return frozenset(plain_name(name) for name in (self.key, short, bare, *self.others))


_RECALL = "mean_per_class_recall"
_SETS = (
    KnownSet("vtab/caltech101", "Caltech-101", 6085, _RECALL),
    KnownSet("cifar10", "CIFAR-10", 10000, others=("vtab/cifar10",)),
    KnownSet("vtab/cifar100", "CIFAR-100", 10000),
    KnownSet("vtab/clevr_count_all", "CLEVR Counts", 15000),
    KnownSet("vtab/clevr_closest_object_distance", "CLEVR Distance", 15000),
    KnownSet("country211", "Country211", 21100),
    KnownSet("vtab/dtd", "Describable Textures", 1880),
    KnownSet("vtab/eurosat", "EuroSAT", 5400),
    KnownSet("fgvc_aircraft", "FGVC Aircraft", 3333, _RECALL),
    KnownSet("food101", "Food-101", 25250),
    KnownSet("gtsrb", "GTSRB", 12630),
    KnownSet("imagenet1k", "ImageNet 1k", 50000),
    KnownSet("imagenet_sketch", "ImageNet Sketch", 50889),
    KnownSet("imagenetv2", "ImageNet v2", 10000),
    KnownSet("imagenet-a", "ImageNet-A", 7500),
    KnownSet("imagenet-o", "ImageNet-O", 2000),
    KnownSet("imagenet-r", "ImageNet-R", 30000),
    KnownSet("vtab/kitti_closest_vehicle_distance", "KITTI Vehicle Distance", 711),
    KnownSet("mnist", "MNIST", 10000),
    KnownSet("objectnet", "ObjectNet", 18574),
    KnownSet("vtab/flowers", "Oxford Flowers-102", 6149, _RECALL),
    KnownSet("vtab/pets", "Oxford-IIIT Pet", 3669, _RECALL),
    KnownSet("voc2007", "Pascal VOC 2007", 14976),
    KnownSet("vtab/pcam", "PatchCamelyon", 32768),
    KnownSet("renderedsst2", "Rendered SST2", 1821),
    KnownSet("vtab/resisc45", "RESISC45", 6300),
    KnownSet("cars", "Stanford Cars", 8041),
    KnownSet("stl10", "STL-10", 8000),
    KnownSet("sun397", "SUN397", 108754),
    KnownSet("vtab/svhn", "SVHN", 26032),
    KnownSet(
        "retrieval/flickr_1k_test_image_text_retrieval", "Flickr", 1000, MAIN_RETRIEVAL, "retrieval", ("flickr30k", "flickr_1k")
    ),
    KnownSet(
        "retrieval/mscoco_2014_5k_test_image_text_retrieval",
        "MSCOCO",
        5000,
        MAIN_RETRIEVAL,
        "retrieval",
        ("mscoco_captions", "mscoco_2014_5k"),
    ),
    KnownSet("misc/winogavil", "WinoGAViL", 3563, JACCARD, "association"),
    KnownSet("wilds/iwildcam", "iWildCam", 42791, F1_MACRO),
    KnownSet("wilds/camelyon17", "Camelyon17", 85054),
    KnownSet("wilds/fmow", "FMoW", 22108, "acc_worst_region", groups=0),
    KnownSet("fairness/dollar_street", "Dollar Street", 3503, "acc_top5_wg", groups=0),
    KnownSet("fairness/geode", "GeoDE", 12488, "acc_wg", groups=0),
)
SETS = {each.key: each for each in _SETS}

# DataComp looks at these, too, without a main metric: they are none of the 38.
NOT_SUPPORTED = {"fairness/fairface": "FairFace", "fairness/utkface": "UTKFace"}

GROUPS = {
    "ImageNet dist. shifts": (
        "imagenet_sketch",
        "imagenetv2",
        "imagenet-a",
        "imagenet-o",
        "imagenet-r",
        "objectnet",
    ),
    "VTAB": (
        "vtab/caltech101",
        "vtab/cifar100",
        "vtab/clevr_count_all",
        "vtab/clevr_closest_object_distance",
        "vtab/dtd",
        "vtab/eurosat",
        "vtab/kitti_closest_vehicle_distance",
        "vtab/flowers",
        "vtab/pets",
        "vtab/pcam",
        "vtab/resisc45",
        "vtab/svhn",
        "sun397",
    ),
    "Retrieval": (
        "retrieval/flickr_1k_test_image_text_retrieval",
        "retrieval/mscoco_2014_5k_test_image_text_retrieval",
        "misc/winogavil",
    ),
}


def plain_name(name: str) -> str:
    """A folder's name without what publishers put around a set's: wds_vtab-dtd_test, wds/vtab/dtd and vtab-dtd are one."""
    plain = name.strip("/").lower().replace("/", "-").replace("_", "-")
    return plain.removeprefix("wds-").removesuffix("-test")


_BY_NAME = {name: each for each in _SETS for name in each.names}


def known_set(name: str) -> KnownSet | None:
    """The set that a folder of that name holds; None where it is none of them."""
    return _BY_NAME.get(plain_name(name))


def not_supported(name: str) -> str | None:
    """The name of a set of DataComp's that is not evaluated here, where a folder of that name holds one."""
    known = {plain_name(spelt): set_name for key, set_name in NOT_SUPPORTED.items() for spelt in (key, key.split("/")[1])}
    return known.get(plain_name(name))
