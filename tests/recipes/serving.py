"""A server that runs emoprune's command lines in forks of itself, because a recipe starts dozens of them.

A fork has all libraries imported already. Otherwise it is a process of its own, with the folder, the streams
and the exit code of the client, which replaces the console script.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

CLIENT = """#!{python} -S
import os, socket, sys
with socket.socket(socket.AF_UNIX) as link:
    link.connect({place!r})
    words = "\\0".join([os.getcwd(), *sys.argv[1:]]).encode()
    socket.send_fds(link, [len(words).to_bytes(4, "big")], [0, 1, 2])
    link.sendall(words)
    code = link.recv(1)
sys.exit(code[0] if code else 70)
"""


def write_client(path: Path, place: str) -> None:
    """Write a program to `path` that runs its command line on the server at `place`."""
    path.write_text(CLIENT.format(python=sys.executable, place=place))
    path.chmod(0o755)


def serve(place: str) -> None:
    """Run one command line after the other, each in a fork, until this process ends."""
    import sklearn.model_selection
    import torch
    import torch._dynamo
    import torchvision

    from emoprune.cli import eval as _eval  # noqa: F401  # for the forks
    from emoprune.training import train  # noqa: F401

    assert sklearn.model_selection
    assert torchvision
    torch.set_num_threads(1)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(place)
        door.listen()
        while True:
            link, _ = door.accept()
            if os.fork() == 0:
                _answer(link)
            link.close()
            while _reaped():
                pass


def _reaped() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _answer(link: socket.socket) -> None:
    size, streams, _, _ = socket.recv_fds(link, 4, 3)
    words = b""
    while len(words) < int.from_bytes(size, "big"):
        words += link.recv(1 << 16)
    folder, *argv = words.decode().split("\0")
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    code = 70
    try:
        import torch

        # a fork makes a new thread pool on first use, which two threads must not do at once
        torch.set_num_threads(1)
        from emoprune.cli.main import main

        code = main(argv)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        link.sendall(bytes([code]))
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
