"""A real SLURM on one machine: munged, slurmctld and two slurmd, all in a folder of their own.

Needs Debian's packages ``slurm-wlm`` and ``munge`` and a root account. Running daemons of the machine are not used.
"""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.fault_harness import FaultError

CONFIGURATION = """\
ClusterName=benchmark
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort=16817
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
MailProg=/bin/true
NodeName={host} NodeHostname={host} NodeAddr=127.0.0.1 Port=16821 CPUs=1
NodeName={host}-2 NodeHostname={host} NodeAddr=127.0.0.1 Port=16822 CPUs=1
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class SlurmCluster:
    """A cluster of two nodes of one CPU, running while the context is open.

    Args:
        folder: for its configuration, state and logs.
    """

    def __init__(self, folder: Path):
        self.folder = folder.absolute()
        self.environment = {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}
        self.logs: dict[str, Path] = {}  # by number of the job

    def __enter__(self) -> "SlurmCluster":
        (self.folder / "state").mkdir(parents=True)
        self.folder.chmod(0o755)  # munged refuses a socket in a folder that others can write to
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(1024))
        host = socket.gethostname().partition(".")[0]
        configuration = CONFIGURATION.format(host=host, folder=self.folder)
        (self.folder / "slurm.conf").write_text(configuration)
        places = {
            "key-file": key,
            **{name: self.folder / f"munge.{name}" for name in ("socket", "pid-file", "log-file", "seed-file")},
        }
        try:
            self.run("munged", "--force", *(f"--{name}={place}" for name, place in places.items()))
            self.run("slurmctld", "-c")
            for node in (host, f"{host}-2"):  # the processes of a job meet at the name of the first
                self.run("slurmd", "-N", node)
            self.wait(lambda: self.run("sinfo", "-h", "-t", "idle", "-o", "%D").strip() == "2", "idle nodes")
        except FaultError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        subprocess.run(["scancel", "--user=root", "--full"], env=self.environment, capture_output=True)
        time.sleep(2)
        for number in (signal.SIGTERM, signal.SIGKILL):  # slurmd may wait for a controller that has ended
            for file in self.folder.glob("*pid*"):
                try:
                    os.kill(int(file.read_text()), number)
                except (ValueError, ProcessLookupError, FileNotFoundError):
                    continue
            time.sleep(1)

    def run(self, *command: str, **environment: str) -> str:
        """The output of a command of SLURM; `FaultError` if it fails."""
        done = subprocess.run(
            command, env={**self.environment, **environment}, capture_output=True, text=True, cwd=self.folder
        )
        if done.returncode:
            raise FaultError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def submit(self, folder: Path, script: str, **environment: str) -> str:
        """Submit a job whose working directory is ``folder``, which gets its output ``log.txt``; returns its number."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "job.sh").write_text(script)
        places = (f"--chdir={folder}", f"--output={folder}/log.txt", str(folder / "job.sh"))
        job = self.run("sbatch", "--parsable", *places, **environment).strip()
        self.logs[job] = folder / "log.txt"
        return job

    def state(self, job: str) -> str:
        """State of a job, such as PENDING or COMPLETED; of a job array the set of its tasks' states."""
        shown = self.run("scontrol", "-o", "show", "job", job)
        return "+".join(sorted({word.partition("=")[2] for word in shown.split() if word.startswith("JobState=")}))

    def wait_for(self, job: str, *states: str, seconds: float = 1200) -> str:
        """Wait until a job is in one of the states; `FaultError` if it fails before."""
        ends = {"FAILED", "TIMEOUT", "NODE_FAIL", "CANCELLED", "OUT_OF_MEMORY"} - set(states)
        self.wait(lambda: (ends | set(states)) & {*self.state(job).split("+"), self.state(job)}, f"{states}", seconds)
        state = self.state(job)
        if ends & set(state.split("+")):
            raise FaultError(f"job {job} ended as {state}: {self._last_line(job)}")
        return state

    def _last_line(self, job: str) -> str:
        log = self.logs[job.partition("_")[0]]
        lines = log.read_text(errors="replace").split("\n") if log.exists() else []
        return next((line for line in reversed(lines) if line.strip()), "no output")

    @staticmethod
    def wait(condition: Callable[[], object], what: str, seconds: float = 600) -> None:
        """Wait for a condition; `FaultError` after ``seconds``."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise FaultError(f"no {what} within {seconds:.0f} s")
            time.sleep(0.5)
