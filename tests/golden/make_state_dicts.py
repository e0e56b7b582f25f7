"""State dicts as PyTorch writes them, in its form of today and in that of before 1.6, and files that only look like one.

    python tests/golden/make_state_dicts.py OUT_DIR

needs: numpy, torch"""
import collections
import os
import pathlib
import sys

import torch

out = pathlib.Path(sys.argv[1])
row = torch.arange(10, dtype=torch.float32)
state = collections.OrderedDict(
    [
        ("straight", row[:6].reshape(2, 3).clone()),
        ("turned", row[4:].reshape(3, 2).t()),
        ("part", row[4:7]),
        ("half", torch.tensor([0.5, -2.0], dtype=torch.float16)),
        ("count", torch.tensor(3)),
    ]
)
torch.save(state, out / "state_dict.pth")
torch.save(state, out / "state_dict_old.pth", _use_new_zipfile_serialization=False)
# A million elements out of one.
torch.save({"wide": torch.zeros(1).expand(1_000_000)}, out / "state_dict_wide.pth")


class Command:
    def __reduce__(self):
        return os.system, ("touch ran",)


torch.save({"command": Command()}, out / "state_dict_command.pth")
