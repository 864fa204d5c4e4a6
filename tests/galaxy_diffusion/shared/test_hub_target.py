"""What could not be uploaded afterwards is refused beforehand."""

import pytest

from galaxy_diffusion.shared.hub_target import HubConfig, check_target, push
from gz2_dataset import UserError


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (HubConfig(push_to_hub=True), "give both"),
        (HubConfig(hub_model_id="me/model"), "give both"),
        (HubConfig(push_to_hub=True, hub_model_id="model"), "not of the form USER/NAME"),
    ],
)
def test_half_a_target_is_refused(config, message):
    with pytest.raises(UserError, match=message):
        check_target(config)


def test_nothing_is_uploaded_unless_it_is_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr("gz2_dataset.hub.HfApi", lambda: pytest.fail("the Hub was asked"))
    check_target(HubConfig())
    push(HubConfig(), tmp_path, ["*"], "model")
