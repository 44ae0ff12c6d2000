import pytest
from speed import VARIANTS, step_times


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 32])
@pytest.mark.parametrize("variant", VARIANTS)
def test_no_model_is_slower_than_its_naive_form(variant, size):
    _, _, ratio = step_times(variant, size, repeats=3)
    assert ratio > 0.95
