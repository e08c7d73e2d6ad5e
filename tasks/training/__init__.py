"""LoRAs from pictures: the training, and the free work that makes a checked archive of them."""

from tasks.training.dataset import PackDataSet, PrepareImages, UnpackDataSet, pack, prepare, unpack
from tasks.training.lora import lora
from tasks.training.requests import TrainLora
from tasks.training.results import PackedDataSet, PreparedImages, Weights

__all__ = [
    "PackDataSet", "PackedDataSet", "PrepareImages", "PreparedImages", "TrainLora", "UnpackDataSet", "Weights", "lora",
    "pack", "prepare", "unpack",
]  # fmt: skip
