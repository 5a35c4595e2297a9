"""Who is one patient: films of one patient, or with identical pixels, are one group and are never parted."""

from collections.abc import Hashable, Sequence

from cxrnode.errors import TrainingError


def joined(patients: Sequence[str], images: Sequence[str]) -> list[str]:
    """The group of each film, in order, named by the first of its patients; equal `images` mean identical pixels."""
    above: dict[Hashable, Hashable] = {}

    def top(node: Hashable) -> Hashable:
        while above.setdefault(node, node) != node:
            above[node] = node = above[above[node]]
        return node

    for patient, image in zip(patients, images, strict=True):
        above[top((image,))] = top(patient)
    names: dict[Hashable, str] = {}
    for patient in sorted(set(patients)):
        names.setdefault(top(patient), patient)
    return [names[top(patient)] for patient in patients]


def refuse_shared(groups: Sequence[str], splits: Sequence[str], files: Sequence[str]) -> None:
    """Raise TrainingError, naming the first, when a group's films are in two splits."""
    seen: dict[str, dict[str, str]] = {}
    for group, split, file in zip(groups, splits, files, strict=True):
        seen.setdefault(group, {}).setdefault(split, file)
    shared = sorted(group for group, places in seen.items() if len(places) > 1)
    if shared:
        places = ", ".join(f"{file} in {split}" for split, file in sorted(seen[shared[0]].items()))
        raise TrainingError(
            f"{len(shared)} patients are in two splits, {shared[0]!r} the first ({places}); wanted each in one "
            "(films with identical pixels count as one patient's)"
        )
