import socket
from pathlib import Path

import pytest

import dfd
from dfd.errors import ClusterError
from dfd.node import About, about, judge, marked, reachable

HERE = dfd.__version__


def test_a_machine_says_what_it_has(tmp_path):
    found = about([tmp_path], tmp_path)
    assert (found.version, found.absent, found.refused) == (HERE, None, "")
    assert 0 < found.free < 1e5
    assert about([tmp_path, tmp_path / "a", tmp_path / "b"]).absent == tmp_path / "a"
    (tmp_path / "file").touch()
    assert about([], tmp_path / "file").refused == f"cannot write to {tmp_path}/file: Not a directory"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_mark_is_there_while_it_is_looked_for(tmp_path):
    with marked(tmp_path) as marks:
        assert about(marks).absent is None
        assert [mark.parent for mark in marks] == [tmp_path]
    assert about(marks).absent == marks[0]
    with marked(None) as marks:
        assert marks == []


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (About("0.0.1", 9), f"node b has dfd 0.0.1, and here is {HERE}: install the same"),
        (About(HERE, 9, Path("/data")), "node b does not see /data: name a path that all nodes share"),
        (
            About(HERE, 9, None, "cannot write to /data: Read-only file system"),
            "node b cannot write to /data: Read-only",
        ),
        (About(HERE, 2.94), "node b has 2.9 GB of memory free, and needs 3: 2 for a video, 1 for dfd; lower --memory"),
    ],
)
def test_a_machine_that_does_not_do_is_named_with_what_it_lacks(found, says):
    with pytest.raises(ClusterError) as error:
        judge("b", found, 2.0)
    assert str(error.value).startswith(says)
    judge("b", About(HERE, 3.0), 2.0)


def test_what_answers_is_reachable():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert reachable(f"127.0.0.1:{port}")
    assert not any(map(reachable, (f"127.0.0.1:{port}", "127.0.0.1:99999", "127.0.0.1", "", ":", "127.0.0.1:x")))
