"""Train as a peer's own page says, in the peer's environment; knows nothing of edgetl.

    python train_peer.py fastai|torchvision --csv FILE --weights FILE --out FILE --size 224 --epochs 4

Both start from the same weights in timm's `tf_efficientnet_lite0` and see the same pictures. The test
pictures are predicted once, by the finished model, off the clock.
"""

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

MEAN = STD = (0.5, 0.5, 0.5)


def read(path):
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    classes = sorted({row["label"] for row in rows})
    return {
        split: [row for row in rows if row["split"] == split] for split in ("train", "val", "test")
    }, classes


def network(weights, classes):
    """The backbone with the shared weights and a new classifier."""
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=1000)
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.reset_classifier(len(classes))
    return model


def train_fastai(given, splits, classes):
    """The quick start's recipe: `fine_tune(epochs)` with its defaults, flips where they mean nothing."""
    from fastai.vision.all import (
        CategoryBlock,
        DataBlock,
        ImageBlock,
        IndexSplitter,
        Learner,
        Normalize,
        Resize,
        accuracy,
        aug_transforms,
        params,
    )

    rows = splits["train"] + splits["val"]
    valid = list(range(len(splits["train"]), len(rows)))
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=classes)),
        get_x=lambda row: row["path"],
        get_y=lambda row: row["label"],
        splitter=IndexSplitter(valid),
        item_tfms=Resize(given.size),
        batch_tfms=[*aug_transforms(flip_vert=given.flips), Normalize.from_stats(MEAN, STD)],
    )
    loaders = block.dataloaders(rows, bs=64, num_workers=0)
    body = network(given.weights, classes)

    def splitter(model):
        head = list(model.get_classifier().parameters())
        return [[p for p in params(model) if not any(p is q for q in head)], head]

    learner = Learner(loaders, body, metrics=accuracy, splitter=splitter)
    learner.fine_tune(given.epochs)
    return learner.model


def train_torchvision(given, splits, classes):
    """The transfer learning tutorial: SGD 1e-3, momentum 0.9, a tenth after 7 epochs, batches of 4."""
    crop = [transforms.RandomResizedCrop(given.size), transforms.RandomHorizontalFlip()]
    augment = transforms.Compose([*crop, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    model = network(given.weights, classes)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    loader = DataLoader(Pictures(splits["train"], classes, augment), batch_size=4, shuffle=True)
    for _ in range(given.epochs):
        model.train()
        for images, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
        schedule.step()
    return model


class Pictures(Dataset):
    """Rows of the CSV file as tensors."""

    def __init__(self, rows, classes, transform):
        self.rows, self.transform = rows, transform
        self.numbers = {name: number for number, name in enumerate(classes)}

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, number):
        row = self.rows[number]
        with Image.open(row["path"]) as picture:
            return self.transform(picture.convert("RGB")), self.numbers[row["label"]]


def predict(model, rows, classes, size):
    """Probabilities (n, classes), resized as the peers' own validation does: all of the picture."""
    whole = transforms.Resize((size, size), transforms.InterpolationMode.BICUBIC)
    transform = transforms.Compose([whole, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    model.eval()
    with torch.no_grad():
        batches = DataLoader(Pictures(rows, classes, transform), batch_size=64)
        found = [torch.softmax(model(images), 1).numpy() for images, _ in batches]
    return np.concatenate(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=("fastai", "torchvision"))
    for name in ("csv", "weights", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name, default in (("size", 224), ("epochs", 4), ("seed", 0), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--begun", type=float, required=True, help="time.monotonic() at the start")
    parser.add_argument("--flips", action="store_true", help="upside down means the same")
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    np.random.seed(given.seed)
    torch.set_num_threads(given.threads)
    splits, classes = read(given.csv)
    train = {"fastai": train_fastai, "torchvision": train_torchvision}[given.peer]
    model = train(given, splits, classes)
    took = {"seconds": time.monotonic() - given.begun, "cpu_seconds": time.process_time()}
    result = {
        "took": took,
        "paths": [row["path"] for row in splits["test"]],
        "targets": [classes.index(row["label"]) for row in splits["test"]],
        "probabilities": predict(model, splits["test"], classes, given.size).tolist(),
    }
    given.out.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
