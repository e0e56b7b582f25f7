"""Reads what PyTorch has written (tests/golden/make_state_dicts.py), and refuses everything else."""
import pathlib
import struct
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden"
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "deploy"))
from state_dict import Refused, read_state_dict  # noqa: E402


class StateDictTest(unittest.TestCase):
    def test_both_forms_hold_the_same(self):
        for name in ("state_dict.pth", "state_dict_old.pth"):
            with self.subTest(name):
                state = read_state_dict(GOLDEN / name)
                self.assertEqual(list(state), ["straight", "turned", "part", "half", "count"])
                read = {key: (tensor.kind, tensor.shape, tensor.data) for key, tensor in state.items()}
                self.assertEqual(read["straight"], ("FloatStorage", [2, 3], struct.pack("<6f", 0, 1, 2, 3, 4, 5)))
                self.assertEqual(read["turned"], ("FloatStorage", [2, 3], struct.pack("<6f", 4, 6, 8, 5, 7, 9)))
                self.assertEqual(read["part"], ("FloatStorage", [3], struct.pack("<3f", 4, 5, 6)))
                self.assertEqual(read["half"], ("HalfStorage", [2], struct.pack("<2e", 0.5, -2)))
                self.assertEqual(read["count"], ("LongStorage", [], struct.pack("<q", 3)))

    def test_nothing_of_a_file_runs(self):
        with self.assertRaisesRegex(Refused, "asks for posix.system"):
            read_state_dict(GOLDEN / "state_dict_command.pth")

    def test_few_bytes_do_not_stand_for_many(self):
        with self.assertRaisesRegex(Refused, "wide is empty, or lies outside"):
            read_state_dict(GOLDEN / "state_dict_wide.pth")

    def test_a_file_that_was_cut_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            cut = pathlib.Path(folder) / "cut.pth"
            for name in ("state_dict.pth", "state_dict_old.pth"):
                whole = (GOLDEN / name).read_bytes()
                for size in range(0, len(whole), 7):
                    cut.write_bytes(whole[:size])
                    with self.assertRaises(Refused, msg=f"{name}, {size} bytes"):
                        read_state_dict(cut)

    def test_a_file_that_is_not_there_is_an_error_of_the_system(self):
        with self.assertRaises(FileNotFoundError):
            read_state_dict(GOLDEN / "no.pth")


if __name__ == "__main__":
    unittest.main()
