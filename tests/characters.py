"""Names in every character set that hospitals use (PS3.3 C.12.1.1.2), and headers that test the edges of identity."""

from pydicom import Dataset

NAMES: dict[str, tuple[str | list[str] | None, str]] = {
    "the default": (None, "Doe^John^^Dr^Jr"),
    "Latin 1": ("ISO_IR 100", "Müller^Jürgen^Étienne"),
    "Latin 2": ("ISO_IR 101", "Dvořák^Břetislav"),
    "Latin 3": ("ISO_IR 109", "Ġużeppi^Ħamrun"),
    "Greek": ("ISO_IR 126", "Διονυσιος^Παυλος"),
    "Cyrillic": ("ISO_IR 144", "Люкceмбypг^Анна"),  # noqa: RUF001  the standard's own example (PS3.5 annex)
    "UTF-8": ("ISO_IR 192", "Wang^XiaoDong=王^小東=왕^샤오둥"),
    "Chinese": ("GB18030", "Wang^XiaoDong=王^小东"),
    "Japanese, first set empty": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "Japanese, first set named": (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    "Japanese, both kanji sets": (["", "ISO 2022 IR 87", "ISO 2022 IR 159"], "Yamada^Tarou=丂侐^太郎"),
    "Korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
}
"""Specific Character Set (0008,0005) and a patient's name in it"""


def named(name: str) -> dict[str, object]:
    """The attributes of a header with this name, for `tests.builders.make_cxr`."""
    character_set, patient = NAMES[name]
    return {"SpecificCharacterSet": character_set, "PatientName": patient, "ReferringPhysicianName": patient}


def issuers() -> dict[str, object]:
    """Who issued the Patient ID, in both the ways that there are (PS3.3 C.7.1.1)."""
    qualifiers = Dataset()
    qualifiers.UniversalEntityID, qualifiers.UniversalEntityIDType = "1.2.276.0.76", "ISO"
    return {"IssuerOfPatientID": "ST ELSEWHERE", "IssuerOfPatientIDQualifiersSequence": [qualifiers]}


EDGES: dict[str, dict[str, object]] = {
    "issuer of the Patient ID": issuers(),
    "no Patient ID": {"PatientID": ""},
    "as long as the standard allows": {
        "PatientID": "I" * 64,
        "PatientName": "N" * 64,
        "StudyDescription": "D" * 64,
        "AccessionNumber": "A" * 16,
    },
    "longer than the standard allows": {
        "PatientID": "I" * 90,
        "PatientName": "N" * 200,
        "StudyDescription": "D" * 100,
        "AccessionNumber": "A" * 40,
    },
}
"""Headers whose identity is unusual; Patient ID and accession number go back as they came, whatever their length."""


def with_private_elements(instance: Dataset) -> Dataset:
    """The same instance with a private block, as modalities write them (PS3.5 7.8)."""
    block = instance.private_block(0x0009, "MADE UP PRIVATE", create=True)
    block.add_new(0x01, "LO", "Zzsecret^Comment")
    block.add_new(0x02, "UN", b"\x01\x02\x03\x04")
    return instance
