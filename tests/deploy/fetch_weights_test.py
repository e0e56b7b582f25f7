"""deploy/fetch-weights with files of the user's own: what it takes, what it writes, and what it refuses with which words."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
sys.path.insert(0, str(DEPLOY))
sys.dont_write_bytecode = True
import fetch_weights

CHANNELS = 384


def write(path, shapes):
    """A safetensors file of zeros."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + fetch_weights.size_of(shape)]}
        offset += fetch_weights.size_of(shape)
    text = json.dumps(header).encode()
    with open(path, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        out.truncate(8 + len(text) + offset)


def shapes_of(path):
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}, header["__metadata__"]


class FetchWeightsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def dinov2(self, places):
        return {name: places if name == "pos_embed" else shape for name, shape in fetch_weights.DINOV2_SHAPES.items()}

    def fetch(self, shapes):
        write(self.folder / "given.safetensors", shapes)
        return subprocess.run([sys.executable, DEPLOY / "fetch_weights.py", "dinov2_vits14", self.folder / "given.safetensors", "--out", self.folder / "out"],
                              capture_output=True, text=True, check=False)

    def test_places_of_any_grid_are_kept_as_they_are(self):
        for side in (37, 16):
            wanted = self.dinov2([1, 1 + side * side, CHANNELS])
            # What the trunk hasn't is left out.
            outcome = self.fetch({"mask_token": [1, CHANNELS], **wanted})
            self.assertEqual(outcome.returncode, 0, outcome.stderr)
            shapes, metadata = shapes_of(self.folder / "out/dinov2_vits14.safetensors")
            self.assertEqual(shapes, wanted)
            self.assertEqual(metadata["architecture"], "dinov2_vits14")
            self.assertEqual(metadata["preprocessing"], "torchvision")
            again = subprocess.run([sys.executable, DEPLOY / "fetch_weights.py", "dinov2_vits14", "--out", self.folder / "out", "--only-check"],
                                   capture_output=True, text=True, check=False)
            self.assertEqual((again.returncode, again.stderr), (0, ""))
            self.assertIn("there already", again.stdout)

    def test_others_are_refused_by_name(self):
        for places in ([1, 1 + 10, CHANNELS], [1, 1, CHANNELS], [1, 1 + 9, CHANNELS + 1], [1 + 9, CHANNELS]):
            outcome = self.fetch(self.dinov2(places))
            self.assertEqual(outcome.returncode, 1)
            self.assertIn(f"pos_embed is F32 {places}; F32 [1, 1 + a square, {CHANNELS}] is wanted", outcome.stderr)
        shapes = self.dinov2([1, 10, CHANNELS])
        del shapes["blocks.11.ls2.gamma"]
        self.assertIn("has no tensor blocks.11.ls2.gamma", self.fetch(shapes).stderr)

    def test_without_a_file_it_says_whose_file_is_wanted(self):
        outcome = subprocess.run([sys.executable, DEPLOY / "fetch_weights.py", "dinov2_vits14", "--out", self.folder], capture_output=True, text=True, check=False)
        self.assertEqual(outcome.returncode, 1)
        self.assertIn("deploy/fetch-weights dinov2_vits14 FILE", outcome.stderr)


if __name__ == "__main__":
    unittest.main()
