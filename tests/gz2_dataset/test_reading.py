"""What is damaged, endless or absurd among our own files is one line with its name and the remedy."""

import os

import pytest

from gz2_dataset import UserError
from gz2_dataset.reading import MOST_OF_A_LINE, read_json, read_json_lines, read_yaml

READERS = {
    "json": lambda path: read_json(path, "make it again"),
    "lines": lambda path: list(read_json_lines(path, "make it again")),
    "yaml": lambda path: read_yaml(path, "make it again"),
}
BOMB = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
DAMAGED = {
    "json": ["", "{", "5", "[]", '{"a": ', "\xff\xfe", '{"a":' * 100_000, "null"],
    "lines": ['{"a": 1}\n5\n', '{"a": 1}\n{"a"', "[" * 100_000, '{"a": "' + "x" * MOST_OF_A_LINE + '"}'],
    "yaml": [
        "{",
        "a: 2024-13-45",
        "!!python/object/apply:os.system [true]",
        BOMB,
        "\xff",
        "a: \x00",
        "a: " + "[" * 100_000,
    ],
}


@pytest.mark.parametrize(
    ("kind", "content"),
    [(kind, content) for kind, contents in DAMAGED.items() for content in contents],
    ids=lambda value: value[:12],
)
def test_what_is_damaged_is_named_with_the_remedy(tmp_path, kind, content):
    path = tmp_path / "file"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=rf"^{path}.*; make it again$") as told:
        READERS[kind](path)
    assert len(str(told.value)) < 400


@pytest.mark.parametrize("kind", READERS)
def test_what_is_no_file_is_not_waited_for(tmp_path, kind):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "nothing", "."):
        with pytest.raises(UserError, match="make it again"):
            READERS[kind](tmp_path / name)


def test_the_line_is_numbered(tmp_path):
    (tmp_path / "rows").write_text('{"a": 1}\n{"a": 2}\n7\n')
    with pytest.raises(UserError, match=r"rows, line 3: .*'7' is no object"):
        list(read_json_lines(tmp_path / "rows", "make it again"))


def test_whole_files_are_read(tmp_path):
    (tmp_path / "rows").write_text('{"a": 1}\n{"a": "é"}\n', encoding="utf-8")
    assert list(read_json_lines(tmp_path / "rows", "")) == [(1, {"a": 1}), (2, {"a": "é"})]
    (tmp_path / "settings").write_text("rate: 1.0e-3\nnets: [a, b]\n")
    assert read_yaml(tmp_path / "settings") == {"rate": 0.001, "nets": ["a", "b"]}


def test_an_alias_of_plain_settings_is_what_it_stands_for(tmp_path):
    (tmp_path / "settings").write_text("one: &quick {probe: false}\ntwo: *quick\n")
    assert read_yaml(tmp_path / "settings") == {"one": {"probe": False}, "two": {"probe": False}}
