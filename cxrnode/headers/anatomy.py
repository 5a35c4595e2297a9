"""What a header says of body part and view: in codes, in defined terms, and in the words of several languages."""

import re
import unicodedata
from dataclasses import dataclass

from pydicom import Dataset

from cxrnode.headers.header import fault, items, named, text, texts
from cxrnode.settings import Rules

CHEST_CODES = {
    *("816094009", "51185008", "39607008", "86598002", "43799004", "302551006"),  # SCT, PS3.16 CID 4031 and kin
    *("T-D3000", "T-28000", "T-280A0", "T-D3200"),  # the same in SRT, as older objects have them
}
FRONTAL_CODES = {"272479007": "PA", "R-40888": "PA", "399348003": "AP", "R-10206": "AP"}
"""PS3.16 CID 4010, SCT and SRT."""

CHEST = re.compile(
    r"chest|\bcxr|thora[xck]|toraks|torax|torac|\blung(s|e|or)?\b|\blungen|\blongen\b|poumon|pulm[oa]|polmon|p[lł]uc"
    r"|brust|brostkorg|borstkas|klatk\w* piers|hrudnik|plice|mellkas|akciger|gogus|keuhko|грудн|легк|θωρακ|胸|肺|흉부"
)
OTHER_PARTS = re.compile(
    r"spin[ea]|column|colonn|rachis|wirbel|lumb|\b[bhl]ws\b|\brib|\bripp|costa|costel|\bstern|clavic|scapul|abdom|pelvi"
    r"|becken|bassin|\bhip\b|should|schulter|skull|\bhead\b|\bneck\b|\bhand\b|wrist|elbow|\bfoot\b|ankle|\bknee|femur|tibia"
    r"|humer|finger|extremit|腹|骨盆|脊"
)
FRONTAL = re.compile(r"\b(pa|ap|p[.-]a|a[.-]p)\b")
SIDEWAYS = re.compile(
    r"\blat\b|\blater[ao]l|\bll\b|\brl\b|\b[lr][ap]o\b|profil|perfil|seitl|\bobl|schrag|bocn|боков|側|侧|측면"
)

IMAGE_WORDS = (
    *("SeriesDescription", "ProtocolName", "PerformedProcedureStepDescription"),
    "AcquisitionDeviceProcessingDescription",
)
STUDY_WORDS = ("RequestedProcedureDescription", "StudyDescription")


@dataclass(frozen=True)
class View:
    """A view's term, PA or AP as far as the rules know it, and the attribute that tells; both empty when none does."""

    term: str = ""
    keyword: str = ""


def not_of_chest(dataset: Dataset, rules: Rules) -> str:
    """The sentence that tells why this is no chest, or cannot be told to be one; empty when it is one.

    Body Part Examined decides, else Anatomic Region Sequence, else the words of the image, else those of the study.
    """
    wanted = ", ".join(rules.body_parts)
    body_part = text(dataset, "BodyPartExamined")
    if body_part:
        chest = body_part.upper() in rules.body_parts or _names_chest(body_part) is True
        return "" if chest else fault("BodyPartExamined", body_part, wanted)
    regions = [text(region, "CodeValue") for region in items(dataset, "AnatomicRegionSequence")]
    if any(regions):
        return "" if CHEST_CODES & {*regions} else fault("AnatomicRegionSequence", regions[0], "a code for the chest")
    for level in (IMAGE_WORDS, STUDY_WORDS):
        answers = {_names_chest(words) for keyword in level for words in texts(dataset, keyword)}
        if True in answers:
            return ""
        if False in answers:
            return f"A description names another body part, and {named('BodyPartExamined')} is absent; wanted {wanted}"
    return f"Nothing says chest: {named('BodyPartExamined')} is absent, and no description names it; wanted {wanted}"


def view_of(dataset: Dataset, rules: Rules) -> View:
    """The view by View Position, else by View Code Sequence, else by the words of the image if they name one only."""
    written = text(dataset, "ViewPosition")
    if written:
        return View(_frontal_term(written, rules) or written.upper(), "ViewPosition")
    codes = [text(view, "CodeValue") for view in items(dataset, "ViewCodeSequence")]
    if any(codes):
        return View(FRONTAL_CODES.get(codes[0], codes[0]), "ViewCodeSequence")
    described = (View(_described_view(text(dataset, keyword)), keyword) for keyword in IMAGE_WORDS)
    return next((view for view in described if view.term), View())


def _frontal_term(written: str, rules: Rules) -> str:
    """The rules' view that View Position means: `AP SUPINE`, `P-A` and `POSTEROANTERIOR` are not rare."""
    letters = re.sub("[^A-Z]", "", written.upper())
    spelt = {"POSTEROANTERIOR": "PA", "ANTEROPOSTERIOR": "AP"}.get(letters, letters)
    if spelt in rules.views:
        return spelt
    words = [] if SIDEWAYS.search(_bare(written)) else re.findall("[A-Z]+", written.upper())
    return next((word for word in words if word in rules.views), "")


def _described_view(words: str) -> str:
    """PA, AP or LATERAL where the words name just one of them; a description of several images tells of none."""
    bare = _bare(words)
    views = {re.sub("[.-]", "", match[0]).upper() for match in FRONTAL.finditer(bare)}
    if SIDEWAYS.search(bare):
        views.add("LATERAL")
    return views.pop() if len(views) == 1 else ""


def _names_chest(words: str) -> bool | None:
    """Whether words name the chest (True), another part, be it beside the chest (False), or no part at all (None)."""
    bare = _bare(words)
    if OTHER_PARTS.search(bare):
        return False
    return True if CHEST.search(bare) else None


def _bare(words: str) -> str:
    """Lower case without accents: `Tórax` and `TORAX` are one word."""
    apart = unicodedata.normalize("NFKD", words.casefold())
    return unicodedata.normalize("NFC", "".join(mark for mark in apart if not unicodedata.combining(mark)))
