"""The objects beside the capability sheet, before judges that are not ours: a sample with an error is no sample."""

from pathlib import Path

from cxrnode.conformance.samples import write_samples
from cxrnode.settings import Settings
from tests.referee.judges import dcentvfy, dciodvfy, objections


def test_the_samples_have_no_error_and_are_of_their_sources_studies(tmp_path: Path) -> None:
    write_samples(Settings(), tmp_path)

    for folder in (path for path in tmp_path.iterdir() if path.is_dir()):
        files = sorted(folder.glob("*.dcm"))
        for path in files:
            if path.stem != "source":
                assert objections("dciodvfy", dciodvfy(path)) == [], path
        assert objections("dcentvfy", dcentvfy(files)) == [], folder
