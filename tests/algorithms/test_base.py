"""What all algorithms share."""

import pytest

from bofl_jax.algorithms import split_support_query
from bofl_jax.core.errors import BoflError
from tests.algorithms.quadratics import make_batch


def test_a_single_sample_cannot_be_split():
    with pytest.raises(BoflError, match="batch_size to 2"):
        split_support_query(make_batch(size=1))
