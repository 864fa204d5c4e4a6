"""What make installs: every file by its hash, in the versions that were tested."""

import re
import tomllib

from .conftest import ROOT

PINNED = re.compile(r"^([a-z0-9.-]+)==(\S+)", re.M)
LOCK = (ROOT / "requirements.lock").read_text()


def test_every_package_of_the_lock_has_its_hashes_and_the_tested_version():
    packages = re.split(r"\n(?=[a-z0-9])", LOCK.partition("\n")[2])
    assert len(packages) > 200
    assert all("--hash=sha256:" in package for package in packages)
    tested = dict(PINNED.findall((ROOT / "constraints.txt").read_text()))
    locked = dict(PINNED.findall(LOCK))
    assert {name: version for name, version in locked.items() if tested.get(name, version) != version} == {}


def test_the_lock_names_no_index_and_holds_what_make_installs():
    assert "://" not in LOCK
    assert "index" not in LOCK.lower()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = re.search(r"^EXTRAS := (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    wanted = project["dependencies"] + [name for extra in extras for name in project["optional-dependencies"][extra]]
    names = {re.split(r"[\[<>=]", requirement)[0] for requirement in wanted}
    assert names <= dict(PINNED.findall(LOCK)).keys()


def test_the_version_of_uv_is_the_locked_one():
    assert re.search(r"^UV := (.*)$", (ROOT / "Makefile").read_text(), re.M)[1] == dict(PINNED.findall(LOCK))["uv"]
