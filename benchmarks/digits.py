"""The demo's recipe over several seeds: test error, mean and spread.

    make bench-digits

Each seed is a training and an evaluation of its own, by the scripts that users run, with
--deterministic: a second call on the same kind of machine prints the same errors.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="nin_digits")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0, 1, ... (default: 5)")
    parser.add_argument("--set", action="append", default=[], help="passed on to tfcnns.train")
    args = parser.parse_args()
    settings = [f"--set={pair}" for pair in args.set]
    errors = []
    print("seed  validation error %  test error %  wrong  training s", flush=True)
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "run"
            _script(
                "train",
                f"--recipe={args.recipe}",
                f"--out={out}",
                f"--seed={seed}",
                "--deterministic",
                *settings,
            )
            history = (out / "history.csv").read_text().splitlines()
            last = dict(zip(history[0].split(","), history[-1].split(","), strict=True))
            seconds = sum(float(row.rsplit(",", 1)[1]) for row in history[1:])
            _script("evaluate", f"--run={out}")
            result = json.loads((out / "evaluation.json").read_text())
        errors.append(100 * result["error"])
        validation = 100 * (1 - float(last["val_accuracy"]))
        print(
            f"{seed:4}  {validation:18.2f}  {errors[-1]:12.2f}  {result['errors']:5}"
            f"  {seconds:10.0f}",
            flush=True,
        )
    spread = statistics.stdev(errors) if len(errors) > 1 else 0.0
    print(
        f"test error: mean {statistics.mean(errors):.2f} %, standard deviation {spread:.2f} %, "
        f"{min(errors):.2f} to {max(errors):.2f} % over {len(errors)} seeds "
        f"of {result['examples']} images"
    )


def _script(name, *flags):
    command = [sys.executable, "-m", f"tfcnns.{name}", *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
