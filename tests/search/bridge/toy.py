"""A child with libraries of the standard library alone, some of which misbehave."""

import os
import random
import socket
import sys
import time
from pathlib import Path

folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))
import child  # noqa: E402
from child import Adapter, main  # noqa: E402


class Toy(Adapter):
    """Draws at random; the points that it was told are in what it writes to a file."""

    def __init__(self, space, seed, options):
        super().__init__(space, seed, options)
        self.rng = random.Random(seed)

    def draw(self, entry):
        if entry["kind"] == "choice":
            return self.rng.randrange(entry["size"])
        return self.rng.uniform(entry["low"], entry["high"])

    def suggest(self):
        return [self.draw(entry) for entry in self.space]


class Noisy(Toy):
    """Writes to stdout in every way there is."""

    def suggest(self):
        print("noise" * 1000)
        sys.stdout.flush()
        os.write(1, b'{"id": 1}\n')
        os.system("echo more noise")
        return super().suggest()


class Journal(Toy):
    """Writes down what it knows, and dies at the third suggestion of a process."""

    def suggest(self):
        Path(self.options["file"]).write_text(repr([self.told, self.pending]))
        self.asked = getattr(self, "asked", 0) + 1
        if self.asked == 3:
            sys.stderr.write("out of luck\n")
            os._exit(7)
        return super().suggest()


class Dying(Toy):
    """Never makes a suggestion."""

    def suggest(self):
        os.kill(os.getpid(), 9)


class Failing(Toy):
    """Raises whenever it is asked."""

    def suggest(self):
        raise ValueError("singular matrix")


class Hanging(Toy):
    """Never comes back, with a process of its own."""

    def suggest(self):
        import subprocess

        busy = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        Path(self.options["file"]).write_text(f"{os.getpid()} {busy.pid}")
        time.sleep(60)


class Calling(Toy):
    """Tries to reach a server on this machine."""

    def suggest(self):
        socket.create_connection(("127.0.0.1", self.options["port"]), timeout=1)


class Astray(Toy):
    """Suggests what is not in the space, past the check of the adapter."""

    def ask(self):
        return [99 for _ in self.space]


class Looking(Toy):
    """Writes down its environment."""

    def suggest(self):
        Path(self.options["file"]).write_text(repr([dict(os.environ), str(Path.cwd()), [*map(str, Path().iterdir())]]))
        return super().suggest()


assert child.__file__.startswith(str(folder))
main({found.__name__.lower(): found for found in [*Toy.__subclasses__(), Toy]})
