"""Which pods reach the metadata service themselves.

Contract: pod identity, sections 3.6 and 9 (10, 22).
"""

from collections.abc import Iterable, Mapping

from podpass.podidentity.objects import PodException


def excepting(namespace: str, labels: Mapping[str, str], exceptions: Iterable[PodException]) -> PodException | None:
    """The first exception, by name, that a pod falls under; None when there is none.

    One label of several is enough, and letter case of the value does not count, as it was in the original.
    """
    for exception in sorted(exceptions, key=lambda each: each.name):
        if exception.namespace != namespace:
            continue
        for key, value in exception.pod_labels.items():
            if key in labels and labels[key].lower() == value.lower():
                return exception
    return None
