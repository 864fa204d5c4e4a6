"""The `datasets` builder yields what `build` writes."""

import datasets
import pytest

from gz2_dataset import GalaxyZoo2, UserError, load


@pytest.mark.parametrize("name", ["five_class", None])
def test_the_builder_works_as_datasets_builders_do(toy_source, toy_data, tmp_path, name):
    builder = GalaxyZoo2(
        config_name=name, data_dir=str(toy_source), cache_dir=str(tmp_path), test_per_class=4, validation_per_class=1
    )
    builder.download_and_prepare()
    opened, built = builder.as_dataset(), load(str(toy_data))
    assert opened["test"].features == built["test"].features
    for split in built:
        rows, expected = (x[split].cast_column("image", datasets.Image(decode=False)) for x in (opened, built))
        assert rows.to_list() == expected.to_list()


def test_a_builder_without_data_says_what_is_missing(tmp_path):
    with pytest.raises(UserError, match="give the folder of the galaxy images"):
        GalaxyZoo2(cache_dir=str(tmp_path))
