"""The `datasets` builder, for those who want one; `build` writes the same galaxies as a folder for the Hub."""

from collections.abc import Iterator

import datasets
import pyarrow as pa

from .build_config import CONFIGURATIONS, GalaxyZoo2Config
from .plan import Shard, features_of, make_plan, open_source
from .splits import SPLITS


class GalaxyZoo2(datasets.ArrowBasedBuilder):
    """Galaxy images with their morphological class, in splits that do not depend on the order of files.

    Examples
    --------
    >>> builder = GalaxyZoo2(data_dir="gz2", cache_dir="cache")  # doctest: +SKIP
    >>> builder.download_and_prepare()  # doctest: +SKIP
    >>> builder.as_dataset(split="train")[0]["image"]  # doctest: +SKIP
    """

    BUILDER_CONFIG_CLASS = GalaxyZoo2Config
    BUILDER_CONFIGS = tuple(GalaxyZoo2Config(name=name, description=text) for name, text in CONFIGURATIONS.items())
    DEFAULT_CONFIG_NAME = "five_class"

    def _info(self) -> datasets.DatasetInfo:
        self.source = open_source(self.config)
        return datasets.DatasetInfo(features=features_of(self.source, []))

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        self.plan = make_plan(self.config, self.source)
        self.info.features = self.plan.features  # with ra and dec, which only the images may tell
        shards = {split: [shard for shard in self.plan.shards if shard.split == split] for split in SPLITS}
        return [datasets.SplitGenerator(name=s, gen_kwargs={"shards": own}) for s, own in shards.items() if own]

    def _generate_tables(self, shards: list[Shard]) -> Iterator[tuple[tuple[int, int], pa.Table]]:
        for index, shard in enumerate(shards):
            yield (index, 0), self.plan.read(shard)
