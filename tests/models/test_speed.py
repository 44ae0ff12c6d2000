import pytest
from naive import NAIVE

from ablate.training.speed import VARIANTS, in_turn, naive_forms


def test_the_bench_finds_the_per_frame_forms_of_a_checkout():
    assert naive_forms().keys() == NAIVE.keys()


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 32])
@pytest.mark.parametrize("variant", [its for its in VARIANTS if its != "dsae"])
def test_no_model_is_slower_than_its_naive_form(variant, size):
    assert in_turn(variant, size, NAIVE, repeats=3)["ratio"] > 0.95
