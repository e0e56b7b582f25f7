"""Ten classes: has the real programs learn scikit-learn's handwritten digits from folders of classes, and holds each figure of
their reports to what scikit-learn computes from the predictions.

    tests/integration/digits_test.py --bin build/release/bin --python build/test-venv/bin/python

Needs the packages of requirements.txt, which deploy/test installs for the Python that --python names. Loopback only; nothing
outside of a temporary folder is written."""
import argparse
import json
import os
import pathlib
import sys
import tempfile

from programs import Server

PARTS = (40, 15, 20)  # images of each digit: training, validation, test
# The least that must be right of the test part.
MODELS = {
    "regularized_cnn": (["--set", "image_size=48", "--set", "epochs=12"], 0.85),
    "vgg16_features": (["--set", "image_size=48"], 0.90),
}


def write_digits(folder):
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits
    digits = load_digits()
    for i, (pixels, label) in enumerate(zip(digits.images, digits.target)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        grey = Image.fromarray(np.round(pixels * (255 / 16)).astype(np.uint8))
        grey.save(folder / str(label) / f"{i:04}.png")


def check_report(report, truth, probabilities, predicted):
    """Against scikit-learn, from each image's true class, probabilities and predicted class."""
    import numpy as np
    from sklearn import metrics
    labels = report["labels"]
    expected = metrics.classification_report(truth, predicted, labels=labels, output_dict=True, zero_division=0)
    ours = [*zip(labels, report["classes"]), ("macro avg", report["macro_average"]), ("weighted avg", report["weighted_average"])]
    for name, row in ours:
        for ours_name, theirs_name in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score"), ("support", "support")):
            assert abs(float(row.get(ours_name, 0)) - expected[name][theirs_name]) < 1e-9, (name, ours_name, row, expected[name])
    confusion = metrics.confusion_matrix(truth, predicted, labels=labels)
    assert [int(count) for count in report["confusion"]] == confusion.flatten().tolist(), confusion
    one_hot = np.array([[label == of for label in labels] for of in truth])
    for name, value, tolerance in (
            ("accuracy", metrics.accuracy_score(truth, predicted), 1e-9),
            ("log_loss", metrics.log_loss(truth, probabilities, labels=labels), 1e-5),
            ("roc_auc", metrics.roc_auc_score(one_hot, probabilities, average="macro"), 1e-6),
            ("average_precision", metrics.average_precision_score(one_hot, probabilities, average="macro"), 1e-6)):
        assert abs(report[name] - value) < tolerance, (name, report[name], value)


def check(server, folder):
    import numpy as np
    server.run("dataset", "create", "digits", "--from", folder / "digits", "--label", "folder", "--train", PARTS[0], "--validation", PARTS[1],
               "--test", PARTS[2], "--seed", 42, "--wait")
    files = sorted(path for path in (server.data / "datasets/digits/test_data").rglob("*") if path.is_file())
    truth = [path.parent.name for path in files]
    assert len(files) == 10 * PARTS[2] and sorted(set(truth)) == [str(digit) for digit in range(10)], files[:3]
    for variant, (settings, least) in MODELS.items():
        server.run("train", variant, "--dataset", "digits", "--variant", variant, *settings, "--watch")
        server.run("evaluate", variant, "--split", "test")
        evaluation = next(e for e in server.json("model", "show", variant)["evaluations"] if e["part"] == "PART_TEST")
        report = evaluation["report"]
        lines = server.run("--format", "json", "classify", variant, "--top", 10, *files).splitlines()
        answers = [json.loads(line)["response"] for line in lines]
        probabilities = np.array([[next(l["probability"] for l in answer["predictions"] if l["label"] == label) for label in report["labels"]]
                                  for answer in answers], dtype=np.float64)
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        check_report(report, truth, probabilities / probabilities.sum(axis=1, keepdims=True), [answer["predictions"][0]["label"] for answer in answers])
        assert report["accuracy"] >= least, (variant, report["accuracy"])
        print(f"{variant}: accuracy {report['accuracy']:.3f} of {report['images']} images, each figure as scikit-learn's")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="where graftd, graft and graft-worker are")
    parser.add_argument("--python", type=pathlib.Path, help="goes on in this one, which has the packages")
    options = parser.parse_args()
    if options.python:
        if not options.python.exists():
            sys.exit(f"{options.python} isn't there; run deploy/test once, which makes it")
        os.execv(options.python, [options.python, __file__, "--bin", options.bin])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name).resolve()
        write_digits(folder / "digits")
        server = Server(options.bin.resolve(), folder, [folder / "digits"])
        try:
            check(server, folder)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
