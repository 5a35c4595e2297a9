"""From a film's file to what the network is fed, by transfer syntax: ours beside pydicom, OpenCV and NumPy as usual.

The film is made up: 2500 x 2048, 12 bits in 16, with the noise of a detector, for it is noise that a coder spends on.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from imagecodecs import jpeg_encode
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate

from cxrnode.decoding.pixels import read_at_least, side_wanted
from cxrnode.headers.opening import parsed
from cxrnode.settings import Settings
from models.card import Input, ModelCard, find, load_card
from models.preprocess import to_tensor
from tests.bench import textbook
from tests.bench.figures import Figure, Target, ratio_at_least
from tests.bench.timings import in_turn
from tests.builders import chest_like, make_cxr
from tests.nodes import saved

ROWS, COLUMNS, ROUNDS = 2500, 2048, 7
FAR = 5e-3
"""of what the network is fed at most, as a part of the whole range of greys: a grey of 8 bits is 4e-3"""
ALIKE = 1e-2
"""between bilinear and area averages, root mean square: that the same film is looked at"""

SYNTAXES: Mapping[str, tuple[str, Target | None]] = {
    "raw": (uid.ExplicitVRLittleEndian, ratio_at_least(2)),
    "JPEG 2000, no loss": (uid.JPEG2000Lossless, ratio_at_least(5)),
    "JPEG 2000, 10 to 1": (uid.JPEG2000, ratio_at_least(5)),
    "JPEG-LS": (uid.JPEGLSLossless, None),
    "JPEG lossless": (uid.JPEGLosslessSV1, None),
    "RLE": (uid.RLELossless, None),
}
DECODER = {
    uid.JPEGLSLossless: "nine tenths of it is CharLS by pyjpegls; pydicom asks libjpeg first, at four times the time",
    uid.JPEGLosslessSV1: "libjpeg-turbo by imagecodecs; half of it is to see that nothing is missing",
    uid.RLELossless: "pylibjpeg-rle on both sides",
}


def figures() -> list[Figure]:
    """Images a second, each way in turn on one core; what both make of the film is compared."""
    card = load_card(find("pneumonia-efficientnet-lite0"))
    torch.set_num_threads(1)
    film = chest_like(ROWS, COLUMNS)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (syntax, target) in SYNTAXES.items():
            path = saved(written(film, syntax), Path(folder) / f"{uid.UID(syntax).keyword}.dcm")
            found.append(figure(f"{name}: file to input", path, card, target, DECODER.get(syntax)))
            if "no loss" in name:
                found.append(sharp(f"{name}, as sharp as the overlay's picture", path, card))
    return found


def sharp(name: str, path: Path, card: ModelCard) -> Figure:
    """With the setting that decodes more than the network needs."""
    told = (
        'pixels.jpeg_2000 = "overlay": a half instead of a quarter; its entropy decoding takes nine tenths of the time'
    )
    return figure(name, path, card, None, told, Settings(pixels={"jpeg_2000": "overlay"}))


def figure(
    name: str, path: Path, card: ModelCard, target: Target | None, told: str | None,
    settings: Settings | None = None,
) -> Figure:  # fmt: skip
    """One encoding. Raises AssertionError where the two ways do not see the same film."""
    side, wanted = side_wanted(card.algorithm(), settings or Settings()), card.input
    ours, exact = fed(path, wanted, side), fed(path, wanted, None)
    reference, span = usual(path, card), wanted.scale / np.float32(wanted.std[0])
    far = float(np.abs(ours - exact).max() / span)
    alike = float(np.sqrt(np.square(reference - exact).mean()) / span)
    if far > FAR or alike > ALIKE:
        raise AssertionError(
            f"{name}: {far:.1e} from the whole film, {alike:.1e} from the usual; wanted {FAR}, {ALIKE}"
        )
    took = in_turn({"ours": lambda: fed(path, wanted, side), "usual": lambda: usual(path, card)}, ROUNDS)
    rates = {way: [1 / one for one in seconds] for way, seconds in took.items()}
    note = f"{'exact' if far == 0 else f'at most {far:.1e} of the range of greys'} from the whole film"
    return Figure.of(name, "images/s", rates["ours"], rates["usual"], target, f"{note}; {told}" if told else note)


def fed(path: Path, wanted: Input, side: int | None) -> NDArray[np.float32]:
    """As in service."""
    made: NDArray[np.float32] = to_tensor(read_at_least(parsed(path), side), wanted).numpy()
    return made


def usual(path: Path, card: ModelCard) -> NDArray[np.float32]:
    """By the book."""
    made: NDArray[np.float32] = textbook.resized(textbook.decoded(textbook.opened(path)), card)[0].numpy()
    return made


def written(film: NDArray[np.uint16], syntax: str) -> FileDataset:
    """The film in this encoding."""
    instance = make_cxr(film)
    if syntax == uid.JPEGLosslessSV1:
        instance.PixelData = encapsulate([jpeg_encode(film, lossless=True, predictor=1, bitspersample=12)])
        instance["PixelData"].VR = "OB"
        instance.file_meta.TransferSyntaxUID = uid.JPEGLosslessSV1
    elif syntax == uid.JPEG2000:
        instance.compress(syntax, generate_instance_uid=False, j2k_cr=[10])
    elif syntax != uid.ExplicitVRLittleEndian:
        instance.compress(syntax, generate_instance_uid=False)
    return instance
