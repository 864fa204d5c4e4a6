"""A model is found as a folder, by the name of a shipped one, or left to the Hub."""

from galaxy_diffusion.shared import shipped


def test_a_shipped_model_is_found_by_name_and_any_other_left_as_it_is(tmp_path, monkeypatch):
    model = tmp_path / "home/pretrained/galaxies-64"
    model.mkdir(parents=True)
    monkeypatch.setattr(shipped, "HOME", tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    for name in ("galaxies-64", "pretrained/galaxies-64"):
        assert shipped.find_model(name) == str(model)
    assert shipped.find_model("someone/galaxies-64") == "someone/galaxies-64"
    assert shipped.find_model(str(model)) == str(model)
    (tmp_path / "galaxies-64").mkdir()
    assert shipped.find_model("galaxies-64") == "galaxies-64", "a folder of one's own comes first"
