import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfd.errors import ConfigError
from dfd.scoring import folds
from dfd.scoring.folds import assign_folds, check_folds, read_folds, source_groups, write_folds

quick = settings(deadline=None, max_examples=40)


def dfdc(originals: int = 40, seed: int = 0, lost: float = 0.2) -> tuple[list[str], list[int], list[str]]:
    """Names, labels and sources in DFDC's form: each original has 1 to 8 fakes; some originals are missing."""
    rng = np.random.default_rng(seed)
    names, labels, sources = [], [], []
    for number in range(originals):
        original = f"real{number:03d}.mp4"
        if rng.random() >= lost:
            names.append(original)
            labels.append(0)
            sources.append(original)
        for fake in range(int(rng.integers(1, 9))):
            names.append(f"fake{number:03d}-{fake}.mp4")
            labels.append(1)
            sources.append(original)
    return names, labels, sources


def frame(**columns):
    """A valid data frame of folds: a (fake of b), b, c (fake of d), d."""
    sound = {
        "filename": ["a", "b", "c", "d"],
        "label": [1, 0, 1, 0],
        "source": ["b", "b", "d", "d"],
        "group": ["a", "a", "c", "c"],
        "fold": [0, 0, 1, 1],
    }
    return pd.DataFrame({**sound, **columns})


class TestSourceGroups:
    def test_fakes_share_the_group_of_their_original(self):
        assert source_groups(["f1", "f2", "r", "x"], ["r", "r", "r", "x"]) == ["f1", "f1", "f1", "x"]

    def test_a_missing_original_still_groups_its_fakes(self):
        assert source_groups(["f1", "f2", "x"], ["lost", "lost", "x"]) == ["f1", "f1", "x"]
        assert source_groups(["f1", "f2"], ["a-lost", "a-lost"]) == ["a-lost", "a-lost"]

    def test_a_fake_of_a_fake_is_in_the_same_group(self):
        assert source_groups(["c", "b", "a"], ["b", "a", "a"]) == ["a", "a", "a"]

    def test_an_empty_source_is_the_video_itself(self):
        assert source_groups(["a", "b"], ["", ""]) == ["a", "b"]

    def test_chains_of_any_length_are_one_group(self):
        names = [f"{n:05d}" for n in range(20_000)]
        assert set(source_groups(names, ["00000", *names[:-1]])) == {"00000"}
        assert set(source_groups(names[::-1], [*names[-2::-1], "00000"])) == {"00000"}

    @quick
    @given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=20), st.randoms(use_true_random=False))
    def test_groups_are_the_connected_components_in_any_order(self, links, random):
        names, sources = [f"v{a:02d}" for a, _ in links], [f"v{b:02d}" for _, b in links]
        reach = {name: {name} for name in names + sources}  # by flood fill, the slow way
        for _ in range(len(reach)):
            for name, source in zip(names, sources, strict=True):
                reach[name] = reach[source] = reach[name] | reach[source]
        assert source_groups(names, sources) == [min(reach[name]) for name in names]
        order = list(range(len(names)))
        random.shuffle(order)
        shuffled = source_groups([names[i] for i in order], [sources[i] for i in order])
        assert shuffled == [min(reach[names[i]]) for i in order]


class TestAssignFolds:
    @quick
    @given(st.integers(12, 60), st.integers(2, 5), st.integers(0, 1000))
    def test_folds_have_whole_groups_both_classes_and_each_video_once(self, originals, count, seed):
        names, labels, sources = dfdc(originals, seed)
        made = assign_folds(names, labels, sources, count, seed)
        check_folds(made)
        assert list(made.columns) == ["filename", "label", "source", "group", "fold"]
        assert made["filename"].tolist() == sorted(names)
        assert dict(zip(made["filename"], made["label"], strict=True)) == dict(zip(names, labels, strict=True))
        assert made.groupby("fold")["label"].nunique().to_dict() == dict.fromkeys(range(count), 2)

    def test_fold_sizes_and_class_shares_are_even(self):
        names, labels, sources = dfdc(400)
        made = assign_folds(names, labels, sources)
        by_fold = made.groupby("fold")["label"].agg(["size", "mean"])
        assert by_fold["size"].max() - by_fold["size"].min() <= 0.02 * len(names)
        assert np.ptp(by_fold["mean"]) < 0.01

    def test_folds_depend_on_the_seed_and_not_on_video_order(self):
        names, labels, sources = dfdc()
        order = np.random.default_rng(1).permutation(len(names))
        shuffled = assign_folds([names[i] for i in order], [labels[i] for i in order], [sources[i] for i in order])
        pd.testing.assert_frame_equal(assign_folds(names, labels, sources), shuffled)
        assert assign_folds(names, labels, sources)["fold"].tolist() != (
            assign_folds(names, labels, sources, seed=1)["fold"].tolist()
        )

    def test_as_many_groups_as_folds_are_enough(self):
        made = assign_folds(["a", "b", "c", "d"], [1, 0, 1, 0], ["b", "b", "d", "d"], folds=2)
        assert made.groupby("group")["fold"].first().nunique() == 2

    def test_a_failed_shuffle_is_retried(self, monkeypatch):
        split, tried = folds._split, []

        def unlucky_once(frame, count, seed):
            tried.append(seed)
            return np.zeros(len(frame), int) if len(tried) == 1 else split(frame, count, seed)

        monkeypatch.setattr(folds, "_split", unlucky_once)
        check_folds(assign_folds(*dfdc(), seed=7))
        assert tried == [7, 8]

    def test_failing_all_shuffles_is_an_error(self, monkeypatch):
        monkeypatch.setattr(folds, "_split", lambda frame, *_: np.zeros(len(frame), int))
        with pytest.raises(ConfigError, match="no split into 5 folds gives each of them real videos and fakes"):
            assign_folds(*dfdc())

    @pytest.mark.parametrize(
        ("videos", "count", "message"),
        [
            ((["a", "b", "c", "d"], [0, 0, 1, 1], ["a", "b", "a", "b"]), 3, "2 real groups only: at most 2 folds"),
            ((["a", "b", "c", "d"], [0, 0, 1, 1], ["a", "b", "a", "a"]), 2, "1 fake group only: it takes 2"),
            ((["a", "b"], [1, 1], ["x", "y"]), 2, "0 real groups only: it takes 2"),
            (([], [], []), 2, "0 real groups"),
            ((["a", "b"], [0, 1], ["a", "b"]), 1, "folds is 1: cross-validation takes at least 2"),
            ((["a", "a"], [0, 1], ["a", "b"]), 2, "filename 'a' is given twice"),
            ((["a", "b"], [0, 2], ["a", "b"]), 2, "label of 'b' is 2, not 0 .real. or 1 .fake."),
            ((["a", "b"], [0], ["a", "b"]), 2, "2 names, 1 labels, 2 sources"),
        ],
    )
    def test_errors_name_the_problem(self, videos, count, message):
        names, labels, sources = videos
        with pytest.raises(ConfigError, match=message):
            assign_folds(names, labels, sources, count)


class TestCheckFolds:
    def test_a_valid_frame_passes_with_any_index(self):
        check_folds(frame())
        check_folds(frame().set_index(pd.Index([7, 7, 7, 7])))

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"fold": [0, 1, 1, 1]}, "group 'a' is in folds 0, 1: it must be in one"),
            ({"fold": [0, 1, 1, 1], "group": list("abcd")}, "source 'b' is in folds 0, 1"),
            ({"filename": list("abca"), "group": list("wxyz"), "source": list("wxyz")}, "filename 'a' is in folds"),
            ({"filename": ["a", "a", "c", "d"]}, "filename 'a' is listed twice: name each video once"),
            # c is made from b, a fake of a: no column crosses folds, but the chain does
            ({"source": ["a", "a", "b", "d"], "group": list("aacd")}, "group linked by sources, 'a' is in folds 0, 1"),
        ],
    )  # fmt: skip
    def test_a_group_in_two_folds_is_named(self, columns, message):
        with pytest.raises(ConfigError, match=message):
            check_folds(frame(**columns))

    def test_a_missing_column_is_named(self):
        with pytest.raises(ConfigError, match="no column 'source'; they take filename, label, source, group, fold"):
            check_folds(frame().drop(columns="source"))

    @pytest.mark.parametrize("column", ["filename", "label", "source", "group", "fold"])
    def test_a_missing_value_is_named(self, column):
        lacking = frame().astype(object)
        lacking.loc[2, column] = None
        with pytest.raises(ConfigError, match=f"row 2 has no {column}: give each video one"):
            check_folds(lacking)

    @quick
    @given(st.integers(0, 10_000))
    def test_moving_any_video_of_a_group_is_detected(self, seed):
        made = assign_folds(*dfdc(15, seed), folds=3)
        shared = made[made.duplicated("group", keep=False)]
        row = shared.index[seed % len(shared)]
        made.loc[row, "fold"] = (made.loc[row, "fold"] + 1) % 3
        with pytest.raises(ConfigError, match="is in folds"):
            check_folds(made)


class TestFile:
    def test_round_trips_through_a_file(self, tmp_path):
        made = assign_folds(*dfdc())
        write_folds(tmp_path / "folds.csv", made)
        pd.testing.assert_frame_equal(read_folds(tmp_path / "folds.csv"), made)
        assert [path.name for path in tmp_path.iterdir()] == ["folds.csv"]

    @pytest.mark.parametrize(
        "odd",
        [
            ["NA", "001", 'a,"b"', "two\nlines", "bare\rreturn", " 视频 ", "null", "1e5"],
            ["001", "1", "1.0", "010"],  # an all-numeric column is still text
        ],
    )
    def test_odd_names_round_trip(self, tmp_path, odd):
        made = assign_folds(odd, [0, 1] * (len(odd) // 2), odd, folds=2)
        write_folds(tmp_path / "folds.csv", made)
        assert read_folds(tmp_path / "folds.csv").to_dict("list") == made.to_dict("list")

    def test_a_group_in_two_folds_is_neither_written_nor_read(self, tmp_path):
        path = tmp_path / "folds.csv"
        write_folds(path, frame())
        with pytest.raises(ConfigError, match="group 'a'"):
            write_folds(path, frame(fold=[0, 1, 1, 1]))
        assert read_folds(path)["fold"].tolist() == [0, 0, 1, 1]
        path.write_text(path.read_text().replace('"b",0,"b","a",0', '"b",0,"b","a",1'))
        with pytest.raises(ConfigError, match=r"folds.csv: group 'a' is in folds 0, 1"):
            read_folds(path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "no CSV of folds"),
            (b"filename,fold\na,0\n", "no column 'label'"),
            (b"filename,label,source,group,fold\na,0,a,a,first\n", "no CSV of folds"),
            (b"filename,label,source,group,fold\na,0,a,a,\n", "no CSV of folds"),
            (b"filename,label,source,group,fold\n\xff,0,a,a,0\n", "no CSV of folds"),
            (b'filename,label,source,group,fold\n"a,0,a,a,0\n', "no CSV of folds"),
        ],
    )
    def test_a_file_without_folds_is_refused(self, tmp_path, content, message):
        path = tmp_path / "folds.csv"
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=message):
            read_folds(path)

    def test_a_missing_file_is_refused(self, tmp_path):
        with pytest.raises(ConfigError, match=r"nowhere.csv is no CSV of folds"):
            read_folds(tmp_path / "nowhere.csv")


def test_people_named_by_file_names_are_in_one_fold():
    """Two pairs of FaceForensics++, with each pair's faces swapped both ways."""
    reals = [f"original_sequences/youtube/c23/videos/{n}.mp4" for n in ("183", "253", "469", "481")]
    pairs = (("183", "253"), ("253", "183"), ("469", "481"), ("481", "469"))
    fakes = [f"manipulated_sequences/Deepfakes/c23/videos/{a}_{b}.mp4" for a, b in pairs]
    sources = reals + [f"original_sequences/youtube/c23/videos/{a}.mp4" for a, _ in pairs]
    made = assign_folds(reals + fakes, [0] * 4 + [1] * 4, sources, folds=2)
    for _, part in made.groupby("fold"):
        numbers = {n for name in part["filename"] for n in name.rsplit("/", 1)[1].removesuffix(".mp4").split("_")}
        assert numbers in ({"183", "253"}, {"469", "481"})
    assert assign_folds(reals + fakes, [0] * 4 + [1] * 4, sources, folds=2, links=[])["group"].nunique() == 4
