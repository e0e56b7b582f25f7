"""The real programs, for tests in Python: a server of its own on a folder, and the command line that talks to it."""
import json
import subprocess
import sys


class Server:
    """graftd with the data folder FOLDER/data; whoever starts it stops it. `allowed` are folders that it may read."""

    def __init__(self, binaries, folder, allowed):
        self.binaries = binaries
        self.data = folder / "data"
        port_file = folder / "port"
        self.log = open(folder / "graftd.log", "w", encoding="utf-8")
        folders = [word for path in allowed for word in ("--allow-dir", path)]
        self.process = subprocess.Popen(
            [binaries / "graftd", "--listen", "127.0.0.1:0", "--port-file", port_file, "--data-dir", self.data, *folders],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        while not (port_file.exists() and port_file.read_text().endswith("\n")):
            if self.process.poll() is not None:
                sys.exit("graftd ended: " + (folder / "graftd.log").read_text())
        self.port = int(port_file.read_text())

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def command(self, *words):
        return [self.binaries / "graft", "--server", f"127.0.0.1:{self.port}", *map(str, words)]

    def run(self, *words, status=0):
        result = subprocess.run(self.command(*words), capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        assert result.returncode == status, f"{words}: {result.returncode}\n{result.stdout}{result.stderr}"
        return result.stdout

    def json(self, *words):
        return json.loads(self.run("--format", "json", *words))
