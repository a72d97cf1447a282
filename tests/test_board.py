from dfd.scoring.board import compare_with_board, public_test_labels, seen_in_training


def test_the_public_test_is_half_fakes():
    labels = public_test_labels()
    assert len(labels) == 400
    assert sum(labels.values()) == 200
    assert all(name.endswith(".mp4") for name in labels)


def test_a_score_stands_between_those_that_it_stands_between():
    names = [row["entry"] for row in compare_with_board(0.26)]
    assert names.index("this submission, here") == 1 + names.index("5th, seven 3D networks and one 2D")


def test_training_videos_that_are_in_the_test_are_named():
    name = next(iter(public_test_labels()))
    assert seen_in_training((f"dfdc_train_part_1/{name}", name, "other.mp4")) == [name]
