"""How options name numbers of images."""

import pytest

from galaxy_diffusion.shared.image_folder import parse_counts
from gz2_dataset import UserError

CLASSES = ("spiral", "cigar")


def test_counts_are_given_by_class_or_for_all():
    assert parse_counts("smote", "cigar=442, spiral=2", CLASSES) == {"cigar": 442, "spiral": 2}
    assert parse_counts("num_images", "8", CLASSES) == {"spiral": 8, "cigar": 8}


@pytest.mark.parametrize(
    ("text", "message"),
    [("merger=3", "no class 'merger'"), ("cigar", "'cigar' is not a number"), ("cigar=-1", "'-1' is not a number")],
)
def test_what_is_no_count_is_one_clear_line(text, message):
    with pytest.raises(UserError, match=f"smote '{text}': {message}"):
        parse_counts("smote", text, CLASSES)
