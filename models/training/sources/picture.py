"""An ordinary image file (JPEG, PNG, ...) as greys of 8 bits, or the reason why there is nothing to see."""

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from cxrnode.errors import Unreadable
from models.training.kept import Pixels


@dataclass(frozen=True)
class Picture:
    """An image file's bytes; it tells nothing of the patient."""

    content: bytes

    @property
    def sha256(self) -> str:
        """Of the whole file."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def patient(self) -> tuple[str, str]:
        """Unknown."""
        return "", ""

    @property
    def not_frontal(self) -> str:
        """Nothing says so."""
        return ""

    def pixels(self) -> Pixels:
        """(rows, cols) uint8; raises Unreadable."""
        try:
            return np.asarray(Image.open(BytesIO(self.content)).convert("L"))
        except UnidentifiedImageError as error:
            raise Unreadable("not an image; wanted a JPEG, a PNG or another picture") from error
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise Unreadable(f"the image cannot be decoded ({error}); wanted a whole one") from error


def open_picture(path: Path) -> Picture:
    """The file's bytes; raises Unreadable."""
    try:
        return Picture(path.read_bytes())
    except OSError as error:
        raise Unreadable(f"the file cannot be read ({error.strerror})") from error
