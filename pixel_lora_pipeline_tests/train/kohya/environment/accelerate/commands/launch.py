"""Stands in for `accelerate launch` on one process: starts the script in a process of its own, and fails if it does."""

import argparse
import subprocess
import sys

if __name__ == "__main__":
    parser = argparse.ArgumentParser("accelerate launch", allow_abbrev=False)
    parser.add_argument("--num_cpu_threads_per_process", type=int)
    parser.add_argument("training_script")
    parser.add_argument("training_script_args", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    command = [sys.executable, arguments.training_script, *arguments.training_script_args]
    process = subprocess.Popen(command)
    if process.wait() != 0:
        raise subprocess.CalledProcessError(returncode=process.returncode, cmd=command)
