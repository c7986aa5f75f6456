"""Copy the photographs that scikit-image and scikit-learn ship; the two large ones are saved as JPEG.

Install: scikit-image==0.26.0 scikit-learn==1.9.1 pillow==13.0.0. Run: python models/scripts/photos.py
models/SOURCES.md gives the author and licence of each photograph. Copies are byte-identical to the package's files; the
bytes of a new JPEG depend on the release of Pillow.
"""

from pathlib import Path
from shutil import copyfile

import skimage.data
import sklearn.datasets
from PIL import Image

PHOTOS = Path(__file__).resolve().parents[1] / "photos"
SKIMAGE = Path(skimage.data.__file__).parent
SKLEARN = Path(sklearn.datasets.__file__).parent / "images"

COPIED = {
    "cat.png": SKIMAGE / "chelsea.png",
    "rocket.jpg": SKIMAGE / "rocket.jpg",
    "camera.png": SKIMAGE / "camera.png",
    "china.jpg": SKLEARN / "china.jpg",
    "flower.jpg": SKLEARN / "flower.jpg",
}
SAVED_AS_JPEG = {"astronaut.jpg": SKIMAGE / "astronaut.png", "coffee.jpg": SKIMAGE / "coffee.png"}


def main() -> None:
    PHOTOS.mkdir(exist_ok=True)
    for name, source in COPIED.items():
        copyfile(source, PHOTOS / name)
    for name, source in SAVED_AS_JPEG.items():
        Image.open(source).convert("RGB").save(PHOTOS / name, quality=92, subsampling=0)
    for photo in sorted(PHOTOS.iterdir()):
        print(photo.name, Image.open(photo).size, Image.open(photo).mode, photo.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
