"""Small VOC, COCO and ImageNet sets with boxes, in the layout that their archives unpack to.

`prepare` lets TFDS' own builders of VOC and COCO read them: only the downloader is replaced.
"""

import json

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

VOC_SHAPE = (20, 30)
COCO_SHAPE = (40, 50)


def photograph(path, height, width, grey=128, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full([height, width, 3], grey, np.uint8)).save(path, "JPEG", **options)


def xml(path, shape, objects, **fields):
    """An annotation of PASCAL's form. objects: (name, xmin, ymin, xmax, ymax) each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    extra = "".join(f"<{key}>{value}</{key}>" for key, value in fields.items())
    parts = [
        f"<object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated>"
        f"<difficult>{int(name == 'person')}</difficult><bndbox><xmin>{x0}</xmin>"
        f"<ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for name, x0, y0, x1, y1 in objects
    ]
    size = f"<size><width>{shape[1]}</width><height>{shape[0]}</height><depth>3</depth></size>"
    path.write_text(f"<annotation>{extra}{size}{''.join(parts)}</annotation>")


def voc(folder, year, sets):
    """sets: {"train": [objects of an image, ...], ...}; persons are difficult."""
    root = folder / "VOCdevkit" / f"VOC{year}"
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for part, images in sets.items():
        names = [f"{part}{number:02d}" for number in range(len(images))]
        (root / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(names) + "\n")
        for number, (name, objects) in enumerate(zip(names, images, strict=True)):
            photograph(root / "JPEGImages" / f"{name}.jpg", *VOC_SHAPE, grey=10 * number)
            xml(root / "Annotations" / f"{name}.xml", VOC_SHAPE, objects)


def coco(folder, sets):
    """sets: {"train2017": [annotations of an image, ...], ...}; those (class, box, crowd)."""
    (folder / "annotations").mkdir(parents=True)
    categories = [{"id": 2 * n + 1, "name": f"thing {n}"} for n in range(80)]
    for part, images in sets.items():
        described, annotations = [], []
        for number, objects in enumerate(images):
            name = f"{number:012d}.jpg"
            photograph(folder / part / name, *COCO_SHAPE, grey=10 * number)
            described.append(
                {"id": number, "file_name": name, "height": COCO_SHAPE[0], "width": COCO_SHAPE[1]}
            )
            for label, box, crowd in objects:
                annotations.append(
                    {
                        "id": len(annotations),
                        "image_id": number,
                        "category_id": 2 * label + 1,
                        "bbox": box,
                        "area": int(box[2] * box[3]),
                        "iscrowd": crowd,
                    }
                )
        kind = "image_info" if part.startswith("test") else "instances"
        content = {"images": described, "categories": categories, "annotations": annotations}
        (folder / "annotations" / f"{kind}_{part}.json").write_text(json.dumps(content))


def found_in(monkeypatch, folder):
    """TFDS' downloader says that everything it is asked for lies in `folder`, unpacked."""

    def fetch(self, urls):
        return dict.fromkeys(urls, str(folder))

    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", fetch)
