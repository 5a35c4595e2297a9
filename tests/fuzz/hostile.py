"""What a hostile peer sends, drawn by chance: one script of bytes a round, at one of four levels of the protocol."""

from collections.abc import Callable
from random import Random

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from tests.bombs import deflated, nested, wide
from tests.builders import DX_PRESENTATION, chest_like, make_cxr
from tests.fuzz import pdus
from tests.fuzz.mutation import ODD_NUMBERS, mutated

UID_STEM = "2.25.9000000000000000000000000"
FILM = make_cxr(chest_like(64, 64), SOPInstanceUID=UID_STEM + "0" * 9)
FILM_BYTES = pdus.encoded(FILM)
DEEPEST, WIDEST = 3000, 100_000


def film(number: int) -> tuple[str, bytes]:
    """The UID and the bytes of a good film that nobody has sent yet."""
    uid = f"{UID_STEM}{number:09d}"
    return uid, FILM_BYTES.replace(FILM.SOPInstanceUID.encode(), uid.encode())


def association(chance: Random) -> list[bytes]:
    """A request to associate that is wrong somewhere, and a store after it all the same."""
    many = [
        pdus.context(n % 256, DX_PRESENTATION, ExplicitVRLittleEndian) for n in range(chance.choice((0, 1, 128, 900)))
    ]
    names = {"calling": chance.choice(("", "A" * 16, "\x7f\x01", "MODALITY")), "called": "CXRNODE"}
    sent = pdus.associate(contexts=many) if chance.randrange(4) == 0 else pdus.associate(**names)
    if chance.randrange(2):
        body = mutated(sent[6:], chance)
        sent = pdus.pdu(pdus.ASSOCIATE_RQ, body)
    else:
        sent = mutated(sent, chance)
    return [sent, pdus.store(FILM), pdus.RELEASE]


def pdu(chance: Random) -> list[bytes]:
    """PDUs of any type in any state, lengths that lie, garbage between them, and aborts anywhere."""
    sent = [pdus.associate()] if chance.randrange(4) else []
    for _ in range(chance.randint(1, 6)):
        kind = chance.choice((*range(1, 8), 0, 8, 255))
        body = chance.choice((b"", bytes(4), chance.randbytes(chance.randint(1, 300)), pdus.associate()[6:]))
        length = chance.choice((None, None, *ODD_NUMBERS))
        good = (pdus.associate(), pdus.store(FILM), pdus.RELEASE, pdus.ABORTED, chance.randbytes(chance.randint(1, 99)))
        sent.append(chance.choice((pdus.pdu(kind, body, length), *good)))
    return [mutated(b"".join(sent), chance)] if chance.randrange(3) == 0 else sent


def dimse(chance: Random) -> list[bytes]:
    """Commands that lie: about lengths, fields, contexts and data sets, in fragments that are out of order."""
    uid, content = film(chance.randrange(10**6))
    command = pdus.store_command(DX_PRESENTATION, uid, chance.choice((1, 1, 0, pdus.NO_DATA_SET)))
    field = chance.choice(
        (*range(0x8040), 0x0FFF, 0x0100, 0x0110, 0x0120, 0x0130, 0x0140, 0x0020, 0x0021, 0x0010, 0x8001)
    )
    other = pdus.command(field % 65536, AffectedSOPClassUID=DX_PRESENTATION)
    command = chance.choice(
        (command, mutated(command, chance), mutated(command, chance), other, mutated(other, chance))
    )
    number = chance.choice((1, 1, 1, 3, 5, 0, 255))
    bits = chance.choice((pdus.COMMAND | pdus.LAST, chance.randrange(256)))
    parts = [pdus.pdv(number, bits, command, chance.choice((None, None, None, *ODD_NUMBERS)))]
    parts += [pdus.pdv(number, chance.choice((pdus.LAST, 0, chance.randrange(256))), content)]
    if chance.randrange(4) == 0:
        chance.shuffle(parts)
    return [pdus.associate(), *(pdus.pdu(pdus.DATA, part) for part in parts), pdus.store(FILM), pdus.RELEASE]


def dataset(chance: Random) -> list[bytes]:
    """A right command, and a data set that is wrong: mutated, deep, wide, cut, or a bomb."""
    uid, content = film(chance.randrange(10**6))
    shape = chance.randrange(8)
    syntax = ExplicitVRLittleEndian
    if shape == 0:
        content = content[:-4200] + nested(chance.randint(1, DEEPEST))
    elif shape == 1:
        content += wide(chance.randint(1, WIDEST))
    elif shape == 2:
        syntax, content = DeflatedExplicitVRLittleEndian, deflated(content, chance.choice((1, 2, 1000)))
    else:
        content = mutated(content, chance, within=chance.choice((None, 600)))
    proposed = pdus.associate(contexts=[pdus.context(1, DX_PRESENTATION, syntax)])
    return [proposed, pdus.message(pdus.store_command(DX_PRESENTATION, uid), content), pdus.RELEASE]


LEVELS: dict[str, Callable[[Random], list[bytes]]] = {
    "association": association,
    "pdu": pdu,
    "dimse": dimse,
    "dataset": dataset,
}
