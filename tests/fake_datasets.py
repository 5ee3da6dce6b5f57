"""Small data sets of the real names, written by TFDS' real builders from archives made here.

Only the downloader is replaced: what it would have fetched lies in a folder already. The
archives have the published formats; the images are noise, or one colour per number where a
test wants to know which image it sees.
"""

import io
import struct
import tarfile

import numpy as np
import scipy.io
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.image_classification import mnist

RANDOM = np.random.RandomState(0)
MNIST = {"train": 60, "t10k": 10}
SVHN = {"train": 100, "extra": 60, "test": 20}


def numbered(count, height, width, channels):
    """Images that say their number: its two bytes are the first two pixels."""
    images = RANDOM.randint(0, 256, (count, height, width, channels)).astype(np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.divmod(np.arange(count), 256)
    return images


def number(image):
    return int(image[0, 0, 0]) * 256 + int(image[0, 1, 0])


def cifar(folder, labels=1, classes=10):
    """cifar-10-binary.tar.gz or cifar-100-binary.tar.gz, unpacked."""
    name = {1: "cifar-10-batches-bin", 2: "cifar-100-binary"}[labels]
    names = {1: ["batches.meta.txt"], 2: ["coarse_label_names.txt", "fine_label_names.txt"]}
    train = {1: [f"data_batch_{n}.bin" for n in range(1, 6)], 2: ["train.bin"]}[labels]
    test = {1: "test_batch.bin", 2: "test.bin"}[labels]
    folder = folder / name
    folder.mkdir(parents=True)
    for file, count in zip(names[labels], ([10] if labels == 1 else [20, classes]), strict=True):
        (folder / file).write_text("".join(f"class {n}\n" for n in range(count)))
    images = numbered(70, 32, 32, 3)
    records = [
        bytes([(n % 20) for _ in range(labels - 1)] + [n % classes])
        + image.transpose(2, 0, 1).tobytes()
        for n, image in enumerate(images)
    ]
    for n, file in enumerate(train):
        size = 50 // len(train)
        (folder / file).write_bytes(b"".join(records[n * size : (n + 1) * size]))
    (folder / test).write_bytes(b"".join(records[50:]))
    return folder.parent


def mnist_files(folder):
    folder.mkdir()
    for part, count in MNIST.items():
        images = numbered(count, 28, 28, 1)
        labels = np.arange(count).astype(np.uint8) % 10
        data = struct.pack(">4i", 2051, count, 28, 28) + images.tobytes()
        (folder / f"{part}-images").write_bytes(data)
        (folder / f"{part}-labels").write_bytes(struct.pack(">2i", 2049, count) + labels.tobytes())
    return {
        f"{ours}_{kind}": folder / f"{theirs}-{file}"
        for ours, theirs in (("train", "train"), ("test", "t10k"))
        for kind, file in (("data", "images"), ("labels", "labels"))
    }


def svhn_files(folder):
    folder.mkdir()
    for part, count in SVHN.items():
        images = numbered(count, 32, 32, 3).transpose(1, 2, 3, 0)
        labels = np.arange(count)[:, None] % 10 + 1  # the digit 0 is 10
        scipy.io.savemat(folder / f"{part}.mat", {"X": images, "y": labels.astype(np.uint8)})
    return {part: folder / f"{part}.mat" for part in SVHN}


def jpeg(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def _add(archive, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def imagenet_archives(folder, per_class=130):
    """The two tar files, with two classes of plain colours and ten images to validate on."""
    folder.mkdir(parents=True)
    with tarfile.open(folder / "ILSVRC2012_img_train.tar", "w") as train:
        for grey, wnid in ((50, "n01440764"), (200, "n15075141")):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as archive:
                for n in range(per_class):
                    image = np.full([9, 8, 3], grey, np.uint8)
                    _add(archive, f"{wnid}_{n}.JPEG", jpeg(image))
            _add(train, f"{wnid}.tar", inner.getvalue())
    with tarfile.open(folder / "ILSVRC2012_img_val.tar", "w") as archive:
        for n in range(10):
            image = np.full([8, 9, 3], 100, np.uint8)
            _add(archive, f"ILSVRC2012_val_{n:08d}.JPEG", jpeg(image))


def no_network(monkeypatch, fetched):
    """TFDS' downloader finds in `fetched`, by a part of the address, what it asks for."""

    def fetch(self, urls):
        first = next(iter(urls.values())) if isinstance(urls, dict) else urls
        return next(files for part, files in fetched.items() if part in str(first))

    monkeypatch.setattr(tfds.download.DownloadManager, "download", fetch)
    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", fetch)
    monkeypatch.setattr(mnist, "_TRAIN_EXAMPLES", MNIST["train"])
    monkeypatch.setattr(mnist, "_TEST_EXAMPLES", MNIST["t10k"])


def prepare_all(monkeypatch, folder):
    """Makes the archives and says where TFDS finds them; returns the data_dir to prepare in."""
    no_network(
        monkeypatch,
        {
            "cifar-10-": cifar(folder / "cifar10"),
            "cifar-100-": cifar(folder / "cifar100", 2, 100),
            "mnist": mnist_files(folder / "mnist"),
            "housenumbers": svhn_files(folder / "svhn"),
        },
    )
    imagenet_archives(folder / "data" / "downloads" / "manual")
    return folder / "data"
