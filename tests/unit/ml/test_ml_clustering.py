from sklearn.utils.estimator_checks import parametrize_with_checks

from ml.clustering import ALGORITHMS


@parametrize_with_checks([algorithm(n_clusters=3, starts=5) for algorithm in ALGORITHMS.values()])
def test_every_way_to_find_groups_keeps_the_manners_of_scikit_learn(estimator, check):
    check(estimator)
