"""A child with libraries of the standard library alone, some of which misbehave."""

import os
import random
import socket
import sys
import time
from pathlib import Path


class Toy:
    """Draws at random."""

    def __init__(self, space, seed, options):
        self.space = space
        self.options = options
        self.rng = random.Random(seed)

    def draw(self, entry):
        if entry["kind"] == "choice":
            return self.rng.randrange(entry["size"])
        return self.rng.uniform(entry["low"], entry["high"])

    def suggest(self, known):
        return [self.draw(entry) for entry in self.space]

    def tell(self, known, point, loss):
        assert known.told[-1] == (point, loss)


class Noisy(Toy):
    """Writes to stdout in every way there is."""

    def suggest(self, known):
        print("noise" * 1000)
        sys.stdout.flush()
        os.write(1, b'{"id": 1}\n')
        os.system("echo more noise")
        return super().suggest(known)


class Journal(Toy):
    """Writes down what it knows, and dies at the third suggestion of a process."""

    def suggest(self, known):
        Path(self.options["file"]).write_text(repr([known.told, known.pending]))
        self.asked = getattr(self, "asked", 0) + 1
        if self.asked == 3:
            sys.stderr.write("out of luck\n")
            os._exit(7)
        return super().suggest(known)


class Dying(Toy):
    """Never makes a suggestion."""

    def suggest(self, known):
        os.kill(os.getpid(), 9)


class Failing(Toy):
    """Raises whenever it is asked."""

    def suggest(self, known):
        raise ValueError("singular matrix")


class Hanging(Toy):
    """Never comes back, with a process of its own."""

    def suggest(self, known):
        import subprocess

        busy = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        Path(self.options["file"]).write_text(f"{os.getpid()} {busy.pid}")
        time.sleep(60)


class Calling(Toy):
    """Tries to reach a server on this machine."""

    def suggest(self, known):
        socket.create_connection(("127.0.0.1", self.options["port"]), timeout=1)


class Astray(Toy):
    """Suggests what JSON has no word for."""

    def suggest(self, known):
        return [float("nan") for _ in self.space]


class Looking(Toy):
    """Writes down its environment."""

    def suggest(self, known):
        Path(self.options["file"]).write_text(repr([dict(os.environ), str(Path.cwd()), [*map(str, Path().iterdir())]]))
        return super().suggest(known)


class Picky(Toy):
    """Likes no options."""

    def __init__(self, space, seed, options):
        raise OptionError(f"option taste is {options['taste']!r}; it must be good")


class OptionError(Exception):
    pass


SYSTEMS = {found.__name__.lower(): found for found in [*Toy.__subclasses__(), Toy]}
