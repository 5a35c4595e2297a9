"""Films from a folder, read once: no patient in two splits, every byte in the digest, what cannot be read listed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor

from cxrnode.errors import Refused, TrainingError, Unreadable
from cxrnode.uids import digest_of
from models.card import Input, SplitSize
from models.training.groups import joined, refuse_shared
from models.training.kept import Kept, Pixels, radiograph
from models.training.recipe import Films, FreshSplit
from models.training.sources.dicom import list_dicom
from models.training.sources.kermany import list_kermany
from models.training.sources.listed import DicomFiles, Listed, Listing, Opened
from models.training.sources.manifest import list_manifest
from models.training.sources.picture import open_picture
from models.training.split import divide


@dataclass(frozen=True, eq=False)
class Film:
    """One image that could be decoded, and what its list says of it; `label` is 1 for a positive."""

    file: str
    label: int
    split: str
    patient: str
    sha256: str
    kept: Kept
    subtype: str = ""

    @property
    def pixels(self) -> Pixels:
        """(rows, cols) as they were decoded: uint8, or of a DICOM file float32 in [0, 1]."""
        return self.kept.pixels

    def changed(self, change: Callable[[Pixels], Pixels]) -> "Film":
        """The same film with other pixels."""
        return replace(self, kept=Kept(change(self.pixels), lambda: change(self.pixels)))


@dataclass(frozen=True)
class DataSet:
    """All readable films; `unreadable` lists the others with the reason, `remarks` what else a person should know."""

    films: tuple[Film, ...]
    unreadable: tuple[str, ...]
    digest: str
    remarks: tuple[str, ...] = ()

    def split(self, name: str) -> tuple[Film, ...]:
        """The films of one split; raises TrainingError unless both classes are in it."""
        films = tuple(film for film in self.films if film.split == name)
        if {film.label for film in films} != {0, 1}:
            there = ", ".join(sorted({film.split for film in self.films}))
            raise TrainingError(
                f"split {name!r} holds {len(films)} films but not of both classes; wanted positives and negatives "
                f"(there are the splits {there})"
            )
        return films

    def sizes(self) -> dict[str, SplitSize]:
        """How much each split holds."""
        return {
            name: _size([film for film in self.films if film.split == name])
            for name in sorted({f.split for f in self.films})
        }


def read_films(data_dir: Path, wanted: Films, *, dicom: DicomFiles | None = None, keep: Input | None = None) -> DataSet:
    """Read and decode every film; raises TrainingError when they are not fit to train on.

    `dicom` reads DICOM files. With `keep`, large films are made small for that input at once, and not decoded again.
    """
    listing, open_film = _listed(data_dir, wanted, dicom)
    seen, unreadable = [], list(listing.missing)
    console = Console(stderr=True)
    for listed in track(listing.films, "reading films", console=console, disable=not console.is_terminal):
        try:
            seen.append(_look(listed, open_film, keep))
        except (Unreadable, Refused) as error:
            unreadable.append(f"{listed.file}: {error}")
    if not seen:
        first = f", {unreadable[0]!r} the first" if unreadable else ""
        raise TrainingError(f"none of {len(unreadable)} films can be read{first}; wanted readable films")
    films, left_out = _drawn(_films(seen, by_content=wanted.kind == "dicom"), wanted.fresh_split or FreshSplit())
    refuse_shared([film.patient for film in films], [film.split for film in films], [film.file for film in films])
    digest = digest_of(sorted((film.file, film.sha256, film.split, film.label) for film in films))
    return DataSet(films, tuple(unreadable), digest, (*listing.remarks, *_not_frontal(seen), *left_out))


def labels_of(films: Sequence[Film]) -> NDArray[np.int64]:
    """(N,) of 0 and 1."""
    return np.array([film.label for film in films], dtype=np.int64)


def radiograph_of(film: Film) -> NDArray[np.float32]:
    """(rows, cols) float32 in [0, 1], as `cxrnode.decoding.pixels` hands a DICOM image to the model."""
    return radiograph(film.pixels)


def batch_of(films: Sequence[Film], wanted: Input) -> Tensor:
    """(N, 1, rows, columns) float32 in [0, 1], squashed as in service."""
    return torch.stack([film.kept.squashed(wanted) for film in films])


OpenFilm = Callable[[Path], Opened]


@dataclass(frozen=True, eq=False)
class _Seen:
    """A film that could be decoded, not yet in a group or a split."""

    listed: Listed
    sha256: str
    image: str
    """digest of the pixels: two files may hold the same"""
    owner: tuple[str, str]
    not_frontal: str
    kept: Kept


def _listed(data_dir: Path, wanted: Films, dicom: DicomFiles | None) -> tuple[Listing, OpenFilm]:
    if wanted.kind == "dicom":
        if dicom is None:
            raise TrainingError("nothing here reads DICOM files; wanted `cxrnode train`, which does")
        return list_dicom(data_dir, wanted, dicom), dicom.open
    return (list_kermany if wanted.kind == "kermany" else list_manifest)(data_dir, wanted), open_picture


def _look(listed: Listed, open_film: OpenFilm, keep: Input | None) -> _Seen:
    opened = open_film(listed.path)
    pixels = opened.pixels()
    if listed.sha256 not in {"", opened.sha256}:
        raise TrainingError(f"{listed.file} has sha256 {opened.sha256}, but the manifest says {listed.sha256}")
    if pixels.min() == pixels.max():
        raise Unreadable("the image is blank; wanted a radiograph")
    image = sha256(f"{pixels.dtype} {pixels.shape} ".encode() + pixels.tobytes()).hexdigest()
    kept = Kept(pixels, partial(_again, listed, open_film))
    if keep is not None:
        kept.squashed(keep, pixels)
    return _Seen(listed, opened.sha256, image, opened.patient, opened.not_frontal, kept)


def _again(listed: Listed, open_film: OpenFilm) -> Pixels:
    try:
        return open_film(listed.path).pixels()
    except (Unreadable, Refused) as error:
        raise TrainingError(f"{listed.file} could be read before; now {error}") from error


def _films(seen: Sequence[_Seen], *, by_content: bool) -> list[Film]:
    """The films with their patient groups; named `by_content`, a group's name says nothing of the patient."""
    groups = joined(_patients(seen), [one.image for one in seen])
    if by_content:
        first: dict[str, str] = {}
        for group, one in zip(groups, seen, strict=True):
            first[group] = min(first.get(group, one.image), one.image)
        groups = [f"patient-{first[group][:16]}" for group in groups]
    return [
        Film(one.listed.file, one.listed.label, one.listed.split, group, one.sha256, one.kept, one.listed.subtype)
        for one, group in zip(seen, groups, strict=True)
    ]


def _patients(seen: Sequence[_Seen]) -> list[str]:
    """Whose each film is, by the list or else by the file.

    An identifier that also occurs without an issuer is one patient whatever the issuer: two as one do no harm.
    """
    without_issuer = {patient for patient, issuer in (one.owner for one in seen) if not issuer}
    patients = []
    for one in seen:
        patient, issuer = one.owner
        if not (one.listed.patient or patient):
            raise TrainingError(
                f"{one.listed.file} has no Patient ID; wanted one, or a column patient that tells whose films are whose"
            )
        patients.append(one.listed.patient or (patient if patient in without_issuer else f"{patient} {issuer}"))
    return patients


def _drawn(films: Sequence[Film], fresh: FreshSplit) -> tuple[tuple[Film, ...], tuple[str, ...]]:
    """The films with a split drawn for those that had none, and a remark on those that can go nowhere.

    These are films of patients of whom others are in a split that is kept as it is; nobody put them there.
    """
    kept = sorted({film.split for film in films if film.split})
    taken = {film.patient for film in films if film.split}
    free = [film for film in films if not film.split and film.patient not in taken]
    if not free:
        return tuple(film for film in films if film.split), ()
    shares = {part: share for part, share in fresh.fractions.items() if part not in kept}
    whole = sum(shares.values())
    parts = divide(free, {part: share / whole for part, share in shares.items()}, fresh.seed)
    place = dict(zip(free, parts, strict=True))
    placed = tuple(replace(film, split=film.split or place[film]) for film in films if film.split or film in place)
    left_out = len(films) - len(placed)
    remark = f"{left_out} films are left out: the split {' and '.join(kept)} is kept as it is and has their patients"
    return placed, (remark,) if left_out else ()


def _not_frontal(seen: Sequence[_Seen]) -> tuple[str, ...]:
    odd = [one for one in seen if one.not_frontal]
    if not odd:
        return ()
    first = f"{odd[0].listed.file}: {odd[0].not_frontal}"
    return (f"{len(odd)} of {len(seen)} films are by their header no frontal chest films, and are kept ({first})",)


def _size(films: Sequence[Film]) -> SplitSize:
    return SplitSize(
        images=len(films),
        positive=sum(film.label for film in films),
        patients=len({film.patient for film in films}),
    )
