"""Who observed: the device that TIDs 1002 and 1004 name in reports and key object selections."""

from cxrnode.results import codes
from cxrnode.results.content import Relation, coded_value, sentence, uid
from cxrnode.results.stamp import MANUFACTURER
from cxrnode.results.written import Item


def observer(device_uid: str, station_name: str, model_name: str) -> tuple[Item, ...]:
    """This node with the model that it runs, as the observer of what a document says."""
    return (
        coded_value(Relation.CONTEXT, codes.OBSERVER_TYPE, codes.DEVICE),
        uid(Relation.CONTEXT, codes.DEVICE_UID, device_uid),
        sentence(Relation.CONTEXT, codes.DEVICE_NAME, station_name),
        sentence(Relation.CONTEXT, codes.DEVICE_MANUFACTURER, MANUFACTURER),
        sentence(Relation.CONTEXT, codes.DEVICE_MODEL, model_name),
    )
