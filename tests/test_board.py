from dfd.scoring.board import compare_with_board, exposure, public_test_labels, seen_in_training


def test_half_of_the_public_test_is_fake():
    labels = public_test_labels()
    assert len(labels) == 400
    assert sum(labels.values()) == 200
    assert all(name.endswith(".mp4") for name in labels)


def test_a_score_is_ranked_between_its_neighbours():
    names = [row["entry"] for row in compare_with_board(0.26)]
    assert names.index("this submission, here") == 1 + names.index("5th, seven 3D networks and one 2D")


def test_training_videos_in_the_public_test_are_named():
    name = next(iter(public_test_labels()))
    assert seen_in_training((f"dfdc_train_part_1/{name}", name, "other.mp4")) == [name]


def test_videos_of_the_public_test_seen_by_a_bundle_are_counted():
    names = list(public_test_labels())[:3]
    seen = exposure([f"dfdc_train_part_2/{names[1]}", "dfdc_train_part_0/zzz.mp4", "dfdc_train_part_20/yyy.mp4"])
    assert (seen.videos, seen.parts) == ((names[1],), (0, 2))
    assert seen.warning().startswith("1 of the 400 videos of the public test were in the training of the bundle")
    assert exposure(["dfdc_train_part_1/zzz.mp4"]).warning().startswith("the bundle has seen videos of part 1,")
    assert exposure(["dfdc_train_part_3/zzz.mp4", "a.mp4"]).warning() is None
