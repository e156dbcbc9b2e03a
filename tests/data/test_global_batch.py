import pytest

from vmae_zoo.data.global_batch import accumulation_of


@pytest.mark.parametrize(
    ("global_batch", "batch_size", "processes", "given", "expected"),
    [(512, 64, 8, 1, 1), (2048, 32, 8, 1, 8), (64, 16, 1, 4, 4), (None, 16, 2, 3, 3), (None, 16, 1, 1, 1)],
)
def test_accumulation_fills_the_global_batch(global_batch, batch_size, processes, given, expected):
    assert accumulation_of(global_batch, batch_size, processes, given) == expected


@pytest.mark.parametrize(
    ("global_batch", "batch_size", "processes", "given", "sentence"),
    [
        (
            512,
            48,
            8,
            1,
            r"512 .*48 x 8 .*16 or 32 or 64",
        ),
        (8, 16, 1, 1, r"8 .*16 x 1 .*2 or 4 or 8"),
        (10, 2, 4, 1, r"10 .*multiple of 8"),
        (64, 16, 1, 2, r"accumulate_grad_batches = 2 .*data.global_batch = 64.* 4"),
    ],
)
def test_what_does_not_divide_is_refused_with_a_suggestion(global_batch, batch_size, processes, given, sentence):
    with pytest.raises(ValueError, match=sentence):
        accumulation_of(global_batch, batch_size, processes, given)
