import socket
from pathlib import Path

import pytest

import dfd
from dfd.errors import ClusterError
from dfd.node import NodeState, check_node, inspect_node, marked, reachable
from dfd.videos.remote import url_of

HERE = dfd.__version__


def test_a_node_reports_its_state(tmp_path):
    found = inspect_node([tmp_path], tmp_path)
    assert (found.version, found.absent, found.refused) == (HERE, None, "")
    assert 0 < found.free < 1e5
    assert inspect_node([tmp_path, tmp_path / "a", tmp_path / "b"]).absent == tmp_path / "a"
    (tmp_path / "file").touch()
    assert inspect_node([], tmp_path / "file").refused == f"cannot write to {tmp_path}/file: Not a directory"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_node_names_the_first_url_that_it_cannot_reach(server):
    (server.folder / "a.mp4").touch()
    assert inspect_node([server.place, server.place / "a.mp4"]).unfetched == ""
    server.busy["b.mp4"] = 1
    for name, reason in (("b.mp4", "503"), ("c.mp4", "there is no such file")):
        found = inspect_node([server.place / "a.mp4", server.place / name])
        assert found.absent is None
        assert found.unfetched.startswith(f"{url_of(server.place / name)}: {reason}")


def test_a_mark_exists_only_inside_the_block(tmp_path):
    with marked(tmp_path) as marks:
        assert inspect_node(marks).absent is None
        assert [mark.parent for mark in marks] == [tmp_path]
    assert inspect_node(marks).absent == marks[0]
    with marked(None) as marks:
        assert marks == []


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (NodeState("0.0.1", 9), f"node b has dfd 0.0.1, and here is {HERE}: install the same"),
        (NodeState(HERE, 9, Path("/data")), "node b does not see /data: name a path that all nodes share"),
        (
            NodeState(HERE, 9, None, "cannot write to /data: Read-only file system"),
            "node b cannot write to /data: Read-only",
        ),
        (
            NodeState(HERE, 9, unfetched="s3://b/a.mp4: Access Denied"),
            "node b cannot fetch s3://b/a.mp4: Access Denied; give every node the packages and keys for it",
        ),
        (
            NodeState(HERE, 2.94),
            "node b has 2.9 GB of memory free, and needs 3: 2 for a video, 1 for dfd; lower --memory",
        ),
    ],
)
def test_an_unsuitable_node_is_named_with_the_reason(found, says):
    with pytest.raises(ClusterError) as error:
        check_node("b", found, 2.0)
    assert str(error.value).startswith(says)
    check_node("b", NodeState(HERE, 3.0), 2.0)


def test_an_address_is_reachable_if_a_server_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert reachable(f"127.0.0.1:{port}")
    assert not any(map(reachable, (f"127.0.0.1:{port}", "127.0.0.1:99999", "127.0.0.1", "", ":", "127.0.0.1:x")))
