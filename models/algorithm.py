"""What results say of a model, once a site's prevalence or a helping model changes what it answers."""

from collections.abc import Mapping
from dataclasses import replace

from cxrnode.errors import ModelMismatch
from cxrnode.finding import Algorithm
from cxrnode.uids import digest_of, uid_from
from models.calibrate import at_prevalence


def device_uid(name: str, version: str, digest: str) -> str:
    """The Device UID that results name as their observer: another digest, another device."""
    return uid_from({"device": "cxrnode", "name": name, "version": version, "card": digest})


def known_by(algorithm: Algorithm, digest: str) -> Algorithm:
    """The same algorithm under another digest, and so another device."""
    return replace(algorithm, digest=digest, device_uid=device_uid(algorithm.name, algorithm.version, digest))


def beside(algorithm: Algorithm, helpers: Mapping[str, str]) -> Algorithm:
    """The algorithm with other models' help; `helpers` holds their digests by their part ("lungs", say)."""
    return known_by(algorithm, digest_of({"card": algorithm.digest, "beside": dict(helpers)}))


def shifted(algorithm: Algorithm, prevalence: float) -> Algorithm:
    """The algorithm at a site's own prevalence: its operating point moves with the probabilities.

    The same images are positive. Raises ModelMismatch when the card's prevalence is 0 or 1, from which nothing can
    be shifted.
    """
    try:
        operating_point = at_prevalence(algorithm.operating_point, algorithm.prevalence, prevalence)
    except ValueError as error:
        raise ModelMismatch(
            f"{algorithm.name} has no probabilities at a prevalence of {prevalence}: {error}"
        ) from error
    return replace(
        known_by(algorithm, digest_of({"card": algorithm.digest, "prevalence": prevalence})),
        operating_point=operating_point,
        prevalence=prevalence,
        card_prevalence=algorithm.prevalence,
    )
