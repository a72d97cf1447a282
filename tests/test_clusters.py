import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from dfd.scoring import clusters as module
from dfd.scoring.clusters import clusters


def people(count, scatter, seed=0, sides=16):
    """Points about 40 centres."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (40, sides))[rng.integers(0, 40, count)] + rng.normal(0, scatter, (count, sides))


@pytest.mark.parametrize("scatter", [0.2, 0.7, 1.5])
@pytest.mark.parametrize("block", [1 << 24, 999])
def test_clustering_is_average_linkage(scatter, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    points = people(600, scatter)
    wanted = AgglomerativeClustering(None, metric="sqeuclidean", linkage="average", distance_threshold=20.0)
    found = clusters(points, 20.0)
    assert adjusted_rand_score(wanted.fit_predict(points), found) == 1
    assert 1 < len(set(found)) < 600


def test_clusters_are_labelled_by_their_first_point_in_any_order():
    points = people(300, 0.7)
    found = clusters(points, 20.0)
    assert all(found[name] == name <= np.flatnonzero(found == name)[0] for name in set(found))
    assert (clusters(points, 20.0) == found).all()
    turned = clusters(points[::-1], 20.0)[::-1]
    assert adjusted_rand_score(turned, found) == 1


def test_linkage_uses_the_mean_of_all_pairs_not_the_nearest():
    """From {0, 1} to 2.5 the mean squared distance of 6.25 and 2.25 is 4.25."""
    points = np.array([[0.0], [1.0], [2.5]])
    assert clusters(points, 4.24).tolist() == [0, 0, 2]
    assert clusters(points, 4.26).tolist() == [0, 0, 0]


def test_equal_points_form_one_cluster_even_far_from_the_origin():
    points = 1e4 + np.repeat(people(5, 0.1), 7, axis=0)
    assert clusters(points, 1e-12).tolist() == np.repeat(np.arange(5) * 7, 7).tolist()


def test_small_inputs_are_clustered():
    assert clusters(np.ones((0, 4)), 1.0).tolist() == []
    assert clusters(np.ones((1, 4)), 1.0).tolist() == [0]
    assert clusters(np.array([[0.0], [1.0]]), 1.0).tolist() == [0, 1]  # not below the limit


def test_no_full_distance_matrix_is_held():
    """Eight thousand points would need 256 MB of float32 distances."""
    import tracemalloc

    points = people(8000, 0.2, sides=32)
    tracemalloc.start()
    found = clusters(points, 20.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(set(found)) <= 40
    assert peak < 3 * points.nbytes + 4 * module.BLOCK + 30e6
