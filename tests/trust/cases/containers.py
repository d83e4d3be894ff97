"""What the limits of a container leave, whatever its files hold."""

from __future__ import annotations

import functools
from pathlib import Path

from cases import Case
from deem_crowd.data import memory

V2, V1 = ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")
Files = dict[str, str | bytes]


def group(folder: str, limit: str, used: str, names: tuple[str, str] = V2) -> Files:
    root = "sys/fs/cgroup/" if names == V2 else "sys/fs/cgroup/memory/"
    return {
        f"{root}{folder}/{name}": content
        for name, content in zip(names, (limit, used), strict=True)
    }


SOUND = group("", "1000\n", "400\n")
CONTAINERS: dict[str, tuple[str | bytes | None, Files, list[int]]] = {
    "no container": (None, {}, []),
    "a limit": ("0::/\n", SOUND, [600]),
    "no limit": ("0::/\n", group("", "max\n", "400\n"), []),
    "a limit above": ("0::/a/b\n", group("a/b", "max", "1") | group("a", "1000", "900"), [100]),
    "two limits": ("0::/a/b\n", group("a/b", "500", "1") | group("a", "1000", "900"), [100, 499]),
    "a group outside": ("0::/../../x\n", SOUND, [600]),
    "a group that is not mounted": ("0::/docker/abc\n", SOUND, [600]),
    "a group that is gone": ("0::/a (deleted)\n", SOUND, [600]),
    "a colon in the name": ("0::/a:b\n", group("a:b", "1000", "400"), [600]),
    "the first version": ("5:memory:/c\n", group("c", "1000", "100", V1), [900]),
    "the first version at the root": ("5:memory:/c\n", group("", "1000", "100", V1), [900]),
    "several controllers": ("5:cpu,memory:/x\n4:cpu:/x\n", group("x", "1000", "100", V1), [900]),
    "both versions": ("5:memory:/x\n0::/y\n", group("x", "1000", "100", V1) | group("y", "500", "100"), [400, 900]),
    "no limit in the first version": ("5:memory:/\n", group("", str(2**63 - 4096), "0", V1), [2**63 - 4096]),
    "more than allowed": ("0::/\n", group("", "1000", "4000"), [0]),
    "text": ("0::/\n", group("", "abc", "4"), []),
    "nothing": ("0::/\n", group("", "", "4"), []),
    "many digits": ("0::/\n", group("", "9" * 5000, "4"), []),
    "bytes": ("0::/\n", {"sys/fs/cgroup/memory.max": b"\xff", "sys/fs/cgroup/memory.current": b"4"}, []),
    "no use": ("0::/\n", {"sys/fs/cgroup/memory.max": b"1000"}, []),
    "groups in bytes": (b"\xff\xfe", SOUND, []),
    "no groups": ("", SOUND, []),
    "files in memory": (
        "0::/\n",
        SOUND | {"sys/fs/cgroup/memory.stat": "anon 100\ninactive_file 300\nactive_file 9\n"},
        [900],
    ),
    "files in memory, the first version": (
        "5:memory:/c\n",
        group("c", "1000", "400", V1)
        | {"sys/fs/cgroup/memory/c/memory.stat": "inactive_file 1\ntotal_inactive_file 300\n"},
        [900],
    ),
    "more files in memory than used": (
        "0::/\n", SOUND | {"sys/fs/cgroup/memory.stat": "inactive_file 5000\n"}, [1000]
    ),
    "odd words about memory": ("0::/\n", SOUND | {"sys/fs/cgroup/memory.stat": b"inactive_file x\n\xff"}, [600]),
}  # fmt: skip


def left(groups: str | bytes | None, files: Files, expected: list[int], folder: Path) -> None:
    given = files if groups is None else {**files, "proc/self/cgroup": groups}
    for name, content in given.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert sorted(memory.container_bytes(str(folder))) == expected


CASES = [
    Case("memory of a container", name, functools.partial(left, *what))
    for name, what in CONTAINERS.items()
]
