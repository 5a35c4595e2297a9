"""Who made a result, when, and under which UIDs: the attributes that every result object carries."""

from datetime import datetime
from weakref import WeakKeyDictionary

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from cxrnode.family import Family
from cxrnode.headers.header import text
from cxrnode.results.codes import PROCESSING_EQUIPMENT, coded
from cxrnode.results.context import ResultContext
from cxrnode.results.inherit import inherit, written_as_it_is
from cxrnode.results.series import SERIES, put_into
from cxrnode.results.words import INTENDED_USE, plain
from cxrnode.results.written import raw_elements
from cxrnode.uids import Role

MANUFACTURER = "cxrnode"


def new_result(family: Family, source: Dataset, context: ResultContext, part: str = "") -> Dataset:
    """A data set with everything that all results share: patient and study, series, this node and this model.

    Patient and study are those of the context's bearer, or else the source's; `part` tells a family's objects apart.
    """
    result = Dataset()
    result.file_meta = FileMetaDataset()
    result.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for element in _stem(source, context):
        result[element.tag] = element
    written_as_it_is(result)
    uids = (context.identity.uid(Role[family.name], part), context.identity.uid(Role[f"{family.name}_SERIES"]))
    put_into(SERIES[family], result, *uids)
    return result


def _stem(source: Dataset, context: ResultContext) -> list[RawDataElement]:
    """What all results of a round have in common: made once where they have one bearer."""
    if context.bearer is None:
        return _new_stem(source, context)
    if context not in _STEMS:
        _STEMS[context] = _new_stem(context.bearer, context)
    return _STEMS[context]


def _new_stem(source: Dataset, context: ResultContext) -> list[RawDataElement]:
    stem = Dataset()
    inherit(stem, source)
    stem.StudyInstanceUID = context.identity.study_instance_uid
    stem.ContentQualification = "RESEARCH"
    stamp_times(stem, source, context.started_at)
    _stamp_equipment(stem, context)
    return raw_elements(stem)


_STEMS: WeakKeyDictionary[ResultContext, list[RawDataElement]] = WeakKeyDictionary()


def stamp_times(result: Dataset, source: Dataset, moment: datetime) -> None:
    """Date everything in `result` at `moment`, in the offset from UTC that the source's own dates and times have."""
    local = local_time(source, moment)
    if local is not moment:
        result.TimezoneOffsetFromUTC = f"{local:%z}"
    for part in ("Content", "Series", "InstanceCreation"):
        setattr(result, f"{part}Date", f"{local:%Y%m%d}")
        setattr(result, f"{part}Time", f"{local:%H%M%S.%f}")


def local_time(source: Dataset, moment: datetime) -> datetime:
    """`moment` in the offset from UTC that the source names; the very `moment` where it names none."""
    offset = text(source, "TimezoneOffsetFromUTC")
    try:
        return moment.astimezone(datetime.strptime(offset, "%z").tzinfo)
    except ValueError:
        return moment


def _stamp_equipment(result: Dataset, context: ResultContext) -> None:
    result.Manufacturer = MANUFACTURER
    result.ManufacturerModelName = plain(context.algorithm.name, 64)
    result.SoftwareVersions = [plain(context.software_version, 64), plain(context.algorithm.version, 64)]
    result.StationName = plain(context.station_name, 16)
    result.DeviceUID = context.algorithm.device_uid

    algorithm = Dataset()
    for keyword in ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "StationName", "DeviceUID"):
        setattr(algorithm, keyword, result[keyword].value)
    algorithm.PurposeOfReferenceCodeSequence = [coded(PROCESSING_EQUIPMENT)]
    algorithm.ContributionDateTime = f"{context.started_at:%Y%m%d%H%M%S.%f%z}"
    algorithm.ContributionDescription = plain(
        f"Pneumonia classification with {context.algorithm.explanation}. {INTENDED_USE}", 1024
    )
    result.ContributingEquipmentSequence = [algorithm]
