"""What a task says of itself to people who look at the queue: its destination, and its study by the random key."""

import pytest

from cxrnode.jobs import in_words
from cxrnode.ledger.states import Lane, Work
from cxrnode.ledger.work import Due


@pytest.mark.parametrize(
    ("work", "destination", "told"),
    [
        (Work.ANALYSE, "", "study 5f3e"),
        (Work.DELIVER, "pacs", "to pacs: study 5f3e"),
        (Work.COMMIT, "pacs", "by pacs: study 5f3e"),
    ],
)
def test_a_task_names_its_destination_and_its_study(work: Work, destination: str, told: str) -> None:
    assert in_words(Due("0" * 32, work, Lane.LIVE, destination, "5f3e")) == told
