import sys

import pytest

from dfd.report.log import into_log


def test_what_libraries_print_goes_to_a_log_and_dfd_s_own_words_to_the_terminal(capfd):
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
def test_the_log_stays_where_something_went_wrong_and_it_says_why(said):
    with pytest.raises(FileNotFoundError) as error:
        fail_after(said)
    (log,) = error.value.args
    assert log.exists() == bool(said)
    log.unlink(missing_ok=True)
