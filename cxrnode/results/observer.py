"""Who observed: the device that TIDs 1002 and 1004 name in reports and key object selections."""

from highdicom.sr import CodedConcept, DeviceObserverIdentifyingAttributes, ObserverContext

from cxrnode.results.codes import DEVICE
from cxrnode.results.stamp import MANUFACTURER
from cxrnode.results.words import plain


def observer(device_uid: str, station_name: str, model_name: str) -> ObserverContext:
    """This node with the model that it runs, as the observer of what a document says."""
    device = DeviceObserverIdentifyingAttributes(
        uid=device_uid, name=plain(station_name), manufacturer_name=MANUFACTURER, model_name=plain(model_name)
    )
    return ObserverContext(CodedConcept.from_code(DEVICE), device)
