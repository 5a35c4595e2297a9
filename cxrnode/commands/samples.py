"""The radiographs that the demonstration sends: real ones from the PyPI package pydicom-data, and one cut short."""

import importlib.util
import shutil
import socket
from pathlib import Path

import pydicom
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import generate_uid

from cxrnode.errors import SettingsError

CHEST, TIBIA, SHOULDER = "RG1_J2KR.dcm", "RG3_J2KR.dcm", "MR2_J2KR.dcm"
NAMES = {CHEST: "chest-pa-adult.dcm", TIBIA: "tibia.dcm", SHOULDER: "shoulder-mr.dcm"}


def gather(folder: Path) -> list[Path]:
    """Copy the samples to `folder`, under names that say what they are, and cut the chest film short beside it.

    Raises SettingsError when pydicom-data is not installed.
    """
    package = importlib.util.find_spec("data_store")
    if package is None or not package.submodule_search_locations:
        raise SettingsError("the demonstration's radiographs are not here; wanted the package pydicom-data")
    source = Path(package.submodule_search_locations[0]) / "data"
    folder.mkdir(parents=True)
    files = [folder / name for name in NAMES.values()]
    for original, file in zip(NAMES, files, strict=True):
        shutil.copy(source / original, file)
    return [*files, cut_short(files[0], folder / "chest-cut-short.dcm")]


def cut_short(chest: Path, target: Path) -> Path:
    """The same film, as an instance and study of its own, whose JPEG 2000 codestream ends halfway."""
    dataset = pydicom.dcmread(chest)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([frame[: len(frame) // 2]])
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, keyword, generate_uid())
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(target)
    return target


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
