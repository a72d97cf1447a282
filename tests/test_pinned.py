import pytest

from dfd.errors import DfdError
from dfd.files import sha256
from dfd.models.pinned import Pinned


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Publish a file in a registry, with an empty cache."""
    monkeypatch.setenv("DFD_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "package-1.0.tgz"
    path.write_bytes(b"the very file")
    return path


def test_a_file_is_downloaded_once(published, tmp_path):
    pinned = Pinned(published.as_uri(), sha256(published))
    kept = pinned.fetch()
    assert kept == tmp_path / "cache" / "package-1.0.tgz"
    assert kept.read_bytes() == b"the very file"
    published.unlink()
    assert pinned.fetch() == kept


def test_a_file_with_another_hash_is_not_kept(published, tmp_path):
    with pytest.raises(DfdError, match="is not the file that was pinned, of SHA-256 0000"):
        Pinned(published.as_uri(), "0" * 64).fetch()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_copy_is_named(published):
    pinned = Pinned(published.as_uri(), sha256(published))
    pinned.fetch().write_bytes(b"the very")
    with pytest.raises(DfdError, match=r"package-1\.0\.tgz is not file:.*: delete it, then run this again"):
        pinned.fetch()


def test_without_a_network_the_error_names_a_command(published):
    published.unlink()
    with pytest.raises(DfdError, match=r"cannot download file:.*where there is a network: curl -o .*package-1\.0\.tgz"):
        Pinned(published.as_uri(), "0" * 64).fetch()
