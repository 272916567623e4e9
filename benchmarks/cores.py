"""Why the runtime has one OpenVINO core for a process: `python -m benchmarks.cores [--seconds N]`.

Opens, runs and lets go of a small network again and again in fresh processes: with a core for each opening,
and with one core for all. Counts the processes that crashed or hung, and the openings of the others.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

_MODEL = Path(__file__).parent.parent / "tests/runtime/data/tiny.xml"
_AT_ONCE_S, _HANGS_AFTER_S = 60, 60  # A process opens for so long; longer in one opening is a hang.
_OPENINGS = """
import faulthandler, sys, time
sys.modules["openvino_telemetry"] = None
import numpy, openvino
shared, images, count = openvino.Core(), numpy.zeros((1, 32, 32, 3), numpy.uint8), 0
end = time.monotonic() + float(sys.argv[3])
while time.monotonic() < end:
    faulthandler.dump_traceback_later(float(sys.argv[4]), exit=True)
    core = shared if sys.argv[1] == "one" else openvino.Core()
    graph = core.read_model(sys.argv[2])
    graph.reshape({"images": images.shape})
    compiled = core.compile_model(graph, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    compiled.create_infer_request().infer([images], share_inputs=True)
    count += 1
    faulthandler.cancel_dump_traceback_later()
print(count)
"""


def main() -> int:
    """Run both ways in turn."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=900, help="for each way")
    given = parser.parse_args()
    found = {f"{way} core": {"crashes": 0, "openings that ended well": 0} for way in ("one", "each its")}
    end = time.monotonic() + 2 * given.seconds
    while time.monotonic() < end:
        for way, counted in found.items():
            crashed, openings = _run(way.partition(" ")[0], min(_AT_ONCE_S, given.seconds))
            counted["crashes"] += crashed
            counted["openings that ended well"] += openings
    print(json.dumps(found, indent=2))
    return 0


def _run(way: str, seconds: int) -> tuple[int, int]:
    command = [sys.executable, "-c", _OPENINGS, way, str(_MODEL), str(seconds), str(_HANGS_AFTER_S)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return (0, int(done.stdout)) if done.returncode == 0 else (1, 0)


if __name__ == "__main__":
    sys.exit(main())
