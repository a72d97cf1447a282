import sys

import pytest

from dfd.report.log import into_log


def test_library_output_goes_to_a_log_and_dfd_messages_to_the_terminal(capfd):
    with into_log() as log:
        print("of a library")
        sys.stderr.write("dfd's own\n")
        assert log.read_text() == "of a library\n"
    assert capfd.readouterr() == ("", "dfd's own\n")
    assert not log.exists()


def fail_after(said):
    with into_log() as log:
        print(said, end="")
        raise FileNotFoundError(log)


@pytest.mark.parametrize("said", ["a reason", ""])
def test_the_log_is_kept_after_an_error_and_contains_it(said):
    with pytest.raises(FileNotFoundError) as error:
        fail_after(said)
    (log,) = error.value.args
    assert log.exists() == bool(said)
    log.unlink(missing_ok=True)
