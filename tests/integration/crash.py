"""Kills the real graftd and its workers at each durable step and at random moments, makes writes fail, and checks that nothing
is lost, cut short or stuck.

    tests/integration/crash.py --bin build/dev/bin --samples samples --runs 500
    tests/integration/crash.py ... --runs 1 --fault frozen=server     stopped for longer than a silent worker is given (or frozen=worker)
    sudo tests/integration/crash.py ... --runs 1 --fault full=disk    a disk of its own that fills up during the training, and is freed

A run is a server of its own on a new data folder, kept alive as a supervisor would: an upload that is split, a split of a
folder, a training that is paused and resumed, and an evaluation. Its fault is one of FAULTS in turn, or kills and pauses at
random moments. The first run has none and
says what the others must come to, down to the weights' bytes. Loopback only; nothing outside of a temporary folder is written."""
import argparse
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

# What GRAFT_FAILPOINTS is set to when a run's server starts for the first time. "N" is drawn for each run.
STEPS = [
    "job_log.create.before", "job_log.create.after", "job_log.append.before", "job_log.append.after",
    "job_log.state.before", "job_log.state.after", "job_log.checkpoint", "seal.write",
    "attempt.create", "worker.start", "worker.started", "assignment.fetch", "worker.report",
    "publish.mark", "publish.sync", "publish.replace", "publish.rename", "publish.renamed", "publish.sync_parent", "publish.trash",
    "publish.done", "upload.start", "upload.write", "upload.sync", "upload.rename", "upload.sync_parent",
    "split.copy", "split.sync", "split.manifest", "checkpoint.before", "checkpoint.after",
]
# Reached in the worker, where a failed write fails the job, as it should, and one that always dies the same way is given up.
IN_WORKER = {"split.copy", "split.sync", "split.manifest", "checkpoint.before", "checkpoint.after"}
FAULTS = [(step, "kill") for step in STEPS] + [(step, "error") for step in STEPS] + [("random", "kill")] * (len(STEPS) // 2)

JOB_SECONDS = 120  # longer, and the job counts as stuck
FROZEN_SECONDS = 75  # the server gives a silent worker a minute
FULL_SECONDS = 10
DISK_MEGABYTES = 256
IMAGES = 12  # a class, in the upload
EPOCHS = 60  # takes long enough to be interrupted


class Violation(Exception):
    pass


class Run:
    def __init__(self, options, folder, fault, seed):
        self.options = options
        self.folder = folder
        self.data = folder / "data"
        self.fault = fault
        self.random = random.Random(seed)
        self.port = 0
        self.server = None
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.starts = 0
        self.kills = 0
        self.worker_kills = 0
        self.pauses = 0
        self.acknowledged = {}
        self.uploads = 0
        self.broken = None
        self.frozen = 0
        self.filled = False

    # The server, and who keeps it alive.

    def start_server(self):
        port_file = self.folder / "port"
        port_file.unlink(missing_ok=True)
        command = [self.options.bin / "graftd", "--listen", f"127.0.0.1:{self.port}", "--port-file", port_file, "--data-dir", self.data,
                   "--allow-dir", self.options.samples, "--threads", "1"]
        environment = {"PATH": "/usr/bin:/bin"}
        name, action = self.fault
        if self.starts == 0 and name not in ("none", "random"):
            environment["GRAFT_FAILPOINTS"] = f"{name}={action}:{self.random.choice((1, 1, 2, 3))}"
        with open(self.folder / "graftd.log", "ab") as log:
            log.write(f"--- start {self.starts} {environment.get('GRAFT_FAILPOINTS', '')}\n".encode())
            log.flush()
            self.server = subprocess.Popen([str(word) for word in command], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.starts += 1
        deadline = time.monotonic() + 60
        while self.server.poll() is None:
            text = port_file.read_text() if port_file.exists() else ""
            if text.endswith("\n"):
                self.port = int(text)
                return
            if time.monotonic() > deadline:
                raise Violation("graftd neither serves nor ends")
            time.sleep(0.01)

    def supervise(self):
        failed_starts = 0
        while not self.stopping.is_set():
            try:
                self.server.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
            with self.lock:
                if self.stopping.is_set():
                    return
                # An "error" may refuse the start itself, once; a server that never starts again is a lost one.
                failed_starts = failed_starts + 1 if self.server.returncode != -signal.SIGKILL else 0
                if failed_starts > 3:
                    self.broken = f"graftd doesn't start any more (exit status {self.server.returncode})"
                    self.stopping.set()
                    return
                self.start_server()

    def kill_at_random(self):
        for _ in range(self.random.randint(1, 3)):
            if self.stopping.wait(self.random.uniform(0, 6)):
                return
            with self.lock:
                if self.random.random() < 0.6:
                    self.server.kill()
                    self.kills += 1
                else:
                    self.worker_kills += self.kill_workers()

    def wait_for_training(self):
        while not self.stopping.wait(0.1):
            outcome = self.graft("job", "list", "--kind", "train", "--state", "running")
            if outcome.returncode == 0 and any(job["progress"].get("epoch", 0) > 1 for job in documents(outcome.stdout)[0].get("jobs", []) if "progress" in job):
                return True
        return False

    def freeze(self):
        if not self.wait_for_training():
            return
        with self.lock:
            processes = [self.server.pid] if self.fault[1] == "server" else list(self.workers())
            self.frozen = sum(self.send(pid, signal.SIGSTOP) for pid in processes)
            self.stopping.wait(FROZEN_SECONDS)
            for pid in processes:
                self.send(pid, signal.SIGCONT)  # unless the server has ended it

    def fill_disk(self):
        if not self.wait_for_training():
            return
        filler = self.data / "filler"
        with open(filler, "wb") as file:
            try:
                while True:
                    file.write(bytes(1 << 20))
                    file.flush()
            except OSError:
                self.filled = True
        self.stopping.wait(FULL_SECONDS)
        filler.unlink()

    # The processes that this run's servers have started, by what they wrote down; never by name.
    def workers(self):
        for identity in self.data.glob("jobs/*/attempt-*/worker.json"):
            try:
                pid = json.loads(identity.read_text())["pid"]
                if str(self.data).encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                    yield pid
            except (OSError, ValueError, KeyError):
                pass  # it has ended

    @staticmethod
    def send(pid, number):
        """Whether there was still such a process."""
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def kill_workers(self):
        return sum(self.send(pid, signal.SIGKILL) for pid in self.workers())

    # The command line.

    def graft(self, *words, timeout=60):
        try:
            return subprocess.run([str(self.options.bin / "graft"), "--server", f"127.0.0.1:{self.port}", "--format", "json", *map(str, words)],
                                  capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            if self.fault == ("frozen", "server"):
                return subprocess.CompletedProcess(words, 1, "", "no answer")
            raise Violation(f"graft {' '.join(map(str, words))}: no answer in {timeout} s") from None

    def ask(self, *words):
        """The answer of a call that must succeed; waits for a server to be there."""
        deadline = time.monotonic() + 60 + (FROZEN_SECONDS if self.fault[0] == "frozen" else 0)
        while True:
            if self.broken:
                raise Violation(self.broken)
            outcome = self.graft(*words)
            if outcome.returncode == 0:
                return documents(outcome.stdout)
            if time.monotonic() > deadline:
                raise Violation(f"graft {' '.join(map(str, words))}: {outcome.stderr.strip()}")
            time.sleep(0.1)

    def jobs(self):
        listed = []
        for document in self.ask("job", "list", "--limit", 1000):
            listed += document.get("jobs", [document] if "id" in document else []) if isinstance(document, dict) else document
        return listed

    def unfinished_or_done(self, kind, subject):
        """The newest job of this kind that hasn't failed; a submission may be stored and its answer lost."""
        for job in sorted(self.jobs(), key=lambda j: -int(j["id"].removeprefix("job-"))):
            spec = job.get("spec", {}).get(kind)
            if spec is not None and job["state"] not in ("JOB_STATE_FAILED", "JOB_STATE_CANCELLED") and subject in json.dumps(spec):
                return job["id"]
        return None

    def submit(self, kind, subject, *words):
        deadline = time.monotonic() + JOB_SECONDS
        while True:
            if self.broken:
                raise Violation(self.broken)
            self.uploads += words[:2] == ("dataset", "upload")
            outcome = self.graft(*words)
            if outcome.returncode == 0:
                job = next(d["id"] for d in documents(outcome.stdout) if isinstance(d, dict) and str(d.get("id", "")).startswith("job-"))
                self.acknowledged[job] = kind
                return job
            job = self.unfinished_or_done(kind, subject)
            if job is not None:
                return job
            if time.monotonic() > deadline:
                raise Violation(f"graft {' '.join(map(str, words))}: {outcome.stderr.strip()}")
            time.sleep(0.1)

    def pause(self, job):
        """Pauses the training once an epoch has ended; it leaves a checkpoint behind. Whoever sees it paused resumes it."""
        shown = self.ask("job", "show", job)[0]
        if shown["state"] == "JOB_STATE_RUNNING" and shown.get("progress", {}).get("epoch", 0) > 1:
            self.pauses += self.graft("job", "pause", job).returncode == 0
            return True
        return shown["state"] not in ("JOB_STATE_QUEUED", "JOB_STATE_RUNNING")

    def finish(self, kind, subject, *words):
        """Submits and waits for success, again only where a failure is the fault's own."""
        for _ in range(5):
            job = self.submit(kind, subject, *words)
            deadline = time.monotonic() + JOB_SECONDS
            paused = kind != "train"
            while True:
                paused = paused or self.pause(job)
                shown = self.ask("job", "show", job)[0]
                if shown["state"] == "JOB_STATE_SUCCEEDED":
                    return shown
                if shown["state"] in ("JOB_STATE_FAILED", "JOB_STATE_CANCELLED"):
                    break
                if shown["state"] == "JOB_STATE_PAUSED":
                    self.graft("job", "resume", job)  # asked again where the answer was lost
                if time.monotonic() > deadline:
                    raise Violation(f"stuck: {job} is {shown['state']} after {JOB_SECONDS} s")
                time.sleep(0.05)
            message = shown.get("error", {}).get("message", "")
            by_us = ("signal 9" in message or "how is not known" in message) and (self.worker_kills > 0 or self.fault[0] in IN_WORKER)
            by_us = by_us or (self.filled and "No space left" in message)
            if not by_us and not ("failpoint" in message and self.fault[1] == "error"):
                raise Violation(f"{job} failed: {message}")
            if self.fault[0] in IN_WORKER and self.starts == 1:
                # Each worker of this server would fail the same way.
                with self.lock:
                    self.server.kill()
        raise Violation(f"{kind} failed five times")

    # A whole life.

    def play(self):
        photos = self.folder / "photos"
        for label in ("cat", "dog"):
            (photos / label).mkdir(parents=True)
            for i in range(IMAGES):
                shutil.copy(self.options.samples / f"{label}.{i}.jpg", photos / label / f"{i}.jpg")
        if self.fault[0] == "full":
            self.data.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m,mode=0700", "graft-crash", self.data], check=True)
        self.start_server()
        threads = [threading.Thread(target=self.supervise)]
        during = {"random": self.kill_at_random, "frozen": self.freeze, "full": self.fill_disk}.get(self.fault[0])
        if during is not None:
            threads.append(threading.Thread(target=during))
        for thread in threads:
            thread.start()
        try:
            self.finish("split", "mine", "dataset", "upload", "mine", photos, "--label", "folder", "--train", "0.5", "--validation", "0.25",
                        "--test", "0.25")
            self.finish("split", "pets", "dataset", "create", "pets", "--from", self.options.samples, "--train", 8, "--validation", 4,
                        "--test", 4, "--seed", 42)
            self.finish("train", "tiny", "train", "tiny", "--dataset", "pets", "--variant", "basic_cnn", "--set", f"epochs={EPOCHS}",
                        "--set", "image_size=32")
            self.finish("evaluate", "tiny", "evaluate", "tiny", "--no-wait")
        finally:
            with self.lock:
                self.stopping.set()
            for thread in threads:
                thread.join()
        return self.check()

    def check(self):
        """What is there after one more start. Returns what must be the same in every run."""
        if self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
            if self.server.wait(timeout=60) != 0:
                raise Violation(f"graftd ended by SIGTERM with status {self.server.returncode}")
        if self.fault[0] == "frozen" and self.frozen == 0 or self.fault[0] == "full" and not self.filled:
            raise Violation(f"the training was over before {'='.join(self.fault)}")
        self.fault = ("none", "")
        self.start_server()
        if self.server.poll() is not None:
            raise Violation("graftd doesn't start any more")
        try:
            return self.checked()
        finally:
            self.server.send_signal(signal.SIGTERM)
            self.server.wait(timeout=60)

    def checked(self):
        jobs = {job["id"]: job for job in self.jobs()}
        for job in self.acknowledged:
            if job not in jobs:
                raise Violation(f"lost: {job} was acknowledged and isn't there")
        for job, shown in jobs.items():
            if shown["state"] not in ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"):
                raise Violation(f"stuck: {job} is {shown['state']}")
            events = [event for event in self.watched(job) if "sequence" in event]
            if [int(event["sequence"]) for event in events] != list(range(1, len(events) + 1)):
                raise Violation(f"the events of {job} have a gap")
            told = [event["epoch"]["epoch"] for event in events if "epoch" in event]
            if told != list(range(1, len(told) + 1)):
                raise Violation(f"the epochs of {job} are told out of turn: {told}")
            if events[-1].get("state", {}).get("state") != shown["state"]:
                raise Violation(f"the last event of {job} isn't its end: {events[-1]}")
        fingerprints = {}
        for name, sizes in (("mine", (12, 6, 6)), ("pets", (16, 8, 8))):
            fingerprints[name] = self.ask("dataset", "show", name)[0]["fingerprint"]
            for part, size in zip(("training_data", "validation_data", "test_data"), sizes):
                files = [path for path in (self.data / "datasets" / name / part).rglob("*") if path.is_file()]
                if len(files) != size or any(file.stat().st_size == 0 for file in files):
                    raise Violation(f"cut short: {name}/{part} has {len(files)} files of {size}")
        model = self.ask("model", "show", "tiny")[0]
        versions = sorted(int(path.name) for path in (self.data / "models/tiny").iterdir())
        newest = self.data / "models/tiny" / str(versions[-1])
        if [epoch["epoch"] for epoch in model["history"]] != list(range(1, EPOCHS + 1)) or len(model.get("evaluations", [])) != 1:
            raise Violation(f"cut short: {json.dumps(model)[:500]}")
        classified = self.ask("classify", f"tiny@{versions[-1]}", self.options.samples / "cat.0.jpg")
        if not classified:
            raise Violation("the model answers nothing")
        # An upload whose job never came, or failed, is kept for a day; the one that was split is gone. What the start removes
        # may take it a moment.
        deadline = time.monotonic() + 10
        while True:
            left = [*self.data.glob("jobs/*/attempt-*/out"), *self.data.glob("jobs/*/checkpoints"), *self.data.glob("incoming/*")]
            uploads = list(self.data.glob("uploads/*"))
            if not left and len(uploads) < max(self.uploads, 1):
                break
            if time.monotonic() > deadline:
                raise Violation(f"left behind: {[str(path.relative_to(self.data)) for path in left + uploads]}")
            time.sleep(0.05)
        return fingerprints, hashlib.sha256((newest / "model.safetensors").read_bytes()).hexdigest()

    def watched(self, job):
        outcome = self.graft("job", "watch", job)  # its exit status is the job's
        return documents(outcome.stdout)

    def clean_up(self):
        """Ends what this run has started, by number."""
        self.stopping.set()
        if self.server is not None and self.server.poll() is None:
            self.server.kill()
            self.server.wait()
        self.kill_workers()
        if os.path.ismount(self.data):
            subprocess.run(["umount", "--lazy", self.data], check=True)


def documents(text):
    """The JSON documents in a text, one after the other."""
    decoder = json.JSONDecoder()
    found = []
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if at == len(text):
            return found
        try:
            document, at = decoder.raw_decode(text, at)
        except ValueError:
            at = text.find("\n", at) + 1 or len(text)  # a line for people
            continue
        found.append(document)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="where graftd, graft and graft-worker are")
    parser.add_argument("--samples", type=pathlib.Path, required=True)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fault", help="only this one: STEP=kill, STEP=error, random=kill, frozen=server, frozen=worker or full=disk")
    parser.add_argument("--keep", action="store_true", help="keep the folders of runs that failed")
    options = parser.parse_args()
    options.bin = options.bin.resolve()
    options.samples = options.samples.resolve()
    draw = random.Random(options.seed)
    faults = [tuple(options.fault.split("="))] if options.fault else draw.sample(FAULTS, len(FAULTS))
    expected = None
    violations = 0
    started = time.monotonic()
    for number in range(options.runs + 1):
        fault = ("none", "") if number == 0 else faults[(number - 1) % len(faults)]
        folder = pathlib.Path(tempfile.mkdtemp(prefix="graft-crash-"))
        run = Run(options, folder, fault, seed=options.seed * 1_000_003 + number)
        problem = None
        try:
            found = run.play()
            if expected is None:
                expected = found
            elif found != expected:
                problem = f"another result than without faults: {found} instead of {expected}"
        except Violation as violation:
            problem = str(violation)
        finally:
            run.clean_up()
        print(f"run {number}: {'='.join(fault)}, {run.starts} starts, {run.worker_kills} workers killed, {run.pauses} pauses: {problem or 'ok'}", flush=True)
        if problem is not None:
            violations += 1
            print((folder / "graftd.log").read_text(errors="replace")[-3000:], flush=True)
        if problem is None or not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"kept: {folder}", flush=True)
        if number == 0 and problem is not None:
            break
    print(f"{number} runs in {time.monotonic() - started:.0f} s: {violations} violations")
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
