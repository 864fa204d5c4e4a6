"""Files as faults and strangers leave them: whole ones with pieces cut, doubled or replaced by odd values."""

import json
import re
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from gz2_dataset import UserError

WORDS = (
    *(b"", b"nan", b"inf", b"-inf", b"1e999", b"-1", b"0", b"0.5", b".5", b"5", b"9" * 20, b"0x10", b"1:99:99"),
    *(b"null", b"None", b"true", b"~", b"[]", b"{}", b'""', b'"', b"'", b",", b";", b"\n", b"\r\n", b"\t", b"\0"),
    *(b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xe2\x80\xae", b"\xf0\x9f\x8c\x8c", b"..", b"/", b"../x", b"=cmd"),
    *(b"!!python/name:os.system", b"&a", b"*a", b"- ", b": ", b"{", b"}", b"[", b"]", b"2024-13-45", b"<b>", b"%"),
    *(b"#", b"|", b">", b"@", b"`", b"train", b"test", b"a=b", b"ring", b"/dev/zero"),
)
"""What has a meaning to one parser or another."""
VALUES = (
    None,
    True,
    -1,
    0,
    3,
    0.5,
    10**20,
    float("nan"),
    float("inf"),
    "",
    "x",
    "..",
    "/x",
    [],
    {},
    [[]],
    [None],
    {"": 0},
)
"""What may stand in JSON where something else is expected."""


@st.composite
def damaged(draw: st.DrawFn, *wholes: bytes) -> bytes:
    """One of some files in which up to three pieces, often whole words, are cut, doubled or replaced."""
    content = draw(st.sampled_from(wholes))
    for _ in range(draw(st.integers(0, 3))):
        words = [match.span() for match in re.finditer(rb"[A-Za-z0-9_.+-]+", content[:4000])]
        if words and draw(st.booleans()):
            start, end = draw(st.sampled_from(words))
        else:
            start = draw(st.integers(0, len(content)))
            end = start + draw(st.sampled_from((0, 1, 8, 60, len(content))))
        new = draw(st.one_of(st.sampled_from(WORDS), st.binary(max_size=4), st.just(2 * content[start:end][:200])))
        content = content[:start] + new + content[end:]
    return content


@st.composite
def records(draw: st.DrawFn, whole: Any) -> bytes:
    """JSON, and so YAML too, of which a value has become another or is gone, or whose text is `damaged`."""
    value = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(1, 2))):
        value = changed(draw, value)
    text = json.dumps(value).encode()
    return draw(damaged(text)) if draw(st.booleans()) else text


def changed(draw: st.DrawFn, value: Any) -> Any:
    """The value with a change somewhere in it."""
    entries = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    if not entries or not draw(st.integers(0, 5)):
        return draw(st.sampled_from(VALUES))
    key = draw(st.sampled_from(entries))
    if not draw(st.integers(0, 5)):
        return (
            {k: v for k, v in value.items() if k != key} if isinstance(value, dict) else value[:key] + value[key + 1 :]
        )
    if isinstance(value, dict):
        return value | {key: changed(draw, value[key])}
    return [*value[:key], changed(draw, value[key]), *value[key + 1 :]]


class OneLine:
    """A block that may fail with a `UserError` of one line, and with nothing else."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, _) -> bool:
        if not isinstance(error, UserError):
            return False
        text = str(error)
        assert text, "an error without a text"
        assert "\n" not in text, f"an error of several lines: {text!a}"
        assert len(text) < 5000, f"an error of {len(text)} letters"
        return True


def put(path: Path, content: bytes) -> Path:
    """Write a file, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
