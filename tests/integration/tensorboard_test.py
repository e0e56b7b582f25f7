"""Has the real programs train, follows that with `graft job tensorboard --follow`, and reads the file with TensorBoard's own
reader, while it grows and when it is whole.

    tests/integration/tensorboard_test.py --bin build/release/bin --samples samples --python build/test-venv/bin/python

Needs the packages of requirements.txt, which deploy/test installs for the Python that --python names. Loopback only; nothing
outside of a temporary folder is written."""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from programs import Server


def wait_for_line(process, start):
    for line in process.stdout:
        if line.startswith(start):
            return
    sys.exit(f"it ended before it said '{start}'")


def open_run(folder):
    from tensorboard.backend.event_processing import event_accumulator
    sizes = {event_accumulator.SCALARS: 0, event_accumulator.IMAGES: 0, event_accumulator.TENSORS: 0}  # 0: all
    return event_accumulator.EventAccumulator(str(folder), size_guidance=sizes)


def check_scalars(events, history):
    """Each figure of each epoch, as `graft model show` has it."""
    for tag, member in [("loss/training", "loss"), ("accuracy/training", "accuracy"), ("loss/validation", "validation_loss"),
                        ("accuracy/validation", "validation_accuracy"), ("learning_rate", "learning_rate"),
                        ("seconds/epoch", "seconds"), ("seconds/input_wait", "input_wait_seconds")]:
        points = events.Scalars(tag)
        assert [p.step for p in points] == [e["epoch"] for e in history], (tag, len(points), len(history))
        for point, epoch in zip(points, history):
            # The file has floats.
            assert abs(point.value - epoch[member]) <= 1e-6 * abs(epoch[member]), (tag, point, epoch)
        times = [p.wall_time for p in points]
        assert times == sorted(times), tag
    return times


def text_of(events, tag):
    return [t.tensor_proto.string_val[0].decode() for t in events.Tensors(tag)]


def check(server, samples, folder):
    from tensorboard.plugins.hparams import plugin_data_pb2
    runs = folder / "runs"
    server.run("dataset", "create", "pets", "--from", samples, "--train", 24, "--validation", 8, "--test", 8,
               "--seed", 42, "--wait")
    # More epochs than there is time for: it is ended once it has been seen live.
    job = server.json("train", "cats", "--dataset", "pets", "--variant", "basic_cnn", "--set", "image_size=32",
                      "--set", "epochs=10000")["id"]
    follow = subprocess.Popen(server.command("job", "tensorboard", job, "--out", runs, "--follow"),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        # An event is in the file before it is shown.
        live = open_run(runs / job)
        for epoch in (1, 3):
            wait_for_line(follow, f"epoch {epoch:>5}/10000 ")
            live.Reload()
            assert len(live.Scalars("loss/training")) >= epoch
        assert server.json("job", "show", job)["state"] == "JOB_STATE_RUNNING"
        server.run("job", "curves", job, "--out", folder / "curves.png")
        assert (folder / "curves.png").read_bytes()[1:4] == b"PNG"
        server.run("job", "cancel", job, "--keep-best")
        output = follow.communicate()[0]
        assert follow.returncode == 0, output
    finally:
        follow.kill()
        follow.wait()

    history = server.json("model", "show", "cats")["history"]
    assert len(history) >= 3
    live.Reload()  # the reader that was there from the beginning has missed nothing
    check_scalars(live, history)
    whole = open_run(runs / job)
    whole.Reload()
    times = check_scalars(whole, history)
    shown = server.json("job", "show", job)
    assert shown["start_time"] and whole.FirstEventTimestamp() <= times[0]

    spec = text_of(whole, "spec")[0]
    assert "train cats on pets" in spec and '"image_size": 32' in spec, spec
    states = text_of(whole, "state")
    assert states[0] == "queued" and states[-1].startswith("succeeded"), states
    content = whole.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert start.hparams["image_size"].number_value == 32
    assert start.hparams["variant"].string_value == "basic_cnn"

    assert whole.Tags()["images"] == ["learning_curves"], whole.Tags()
    image = whole.Images("learning_curves")[0]
    assert (image.width, image.height) == (2000, 840)
    model = folder / "data/models/cats/1"
    assert image.encoded_image_string == (model / "learning_curves.png").read_bytes()

    # Again, the same; after an evaluation, its pictures besides, behind what was there.
    file = runs / job / "events.out.tfevents.graft"
    before = file.read_bytes()
    server.run("job", "tensorboard", job, "--out", runs)
    assert file.read_bytes() == before
    server.run("evaluate", "cats")
    server.run("job", "tensorboard", job, "--out", runs)
    assert file.read_bytes()[:len(before)] == before
    live.Reload()
    assert "evaluations/pets-test/confusion_matrix" in live.Tags()["images"], live.Tags()
    image = live.Images("evaluations/pets-test/roc")[0]
    assert image.encoded_image_string == (model / "evaluations/pets-test/roc.png").read_bytes()
    assert sorted(p.name for p in (runs / job).iterdir()) == ["events.out.tfevents.graft"]

    # A job of another kind has texts.
    server.run("job", "tensorboard", "job-1", "--out", runs)
    split = open_run(runs / "job-1")
    split.Reload()
    assert split.Tags()["scalars"] == [] and "split pets" in text_of(split, "spec")[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--samples", type=pathlib.Path, required=True)
    parser.add_argument("--python", type=pathlib.Path, help="goes on in this one, which has the packages")
    options = parser.parse_args()
    if options.python:
        if not options.python.exists():
            sys.exit(f"{options.python} isn't there; run deploy/test once, which makes it")
        os.execv(options.python, [options.python, __file__, "--bin", options.bin, "--samples", options.samples])
    with tempfile.TemporaryDirectory(prefix="graft-tensorboard-") as name:
        folder = pathlib.Path(name).resolve()
        server = Server(options.bin.resolve(), folder, [options.samples.resolve()])
        try:
            check(server, options.samples.resolve(), folder)
        finally:
            server.stop()
    print("TensorBoard reads what graft wrote")


if __name__ == "__main__":
    main()
