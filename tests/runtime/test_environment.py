import platform
import subprocess
import sys

from edgetl_runtime import __version__
from edgetl_runtime import environment as environment_module
from edgetl_runtime.environment import parse_cpuinfo, read_environment

XEON = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8481C
flags\t\t: fpu sse4_1 avx avx2 fma avx512f avx512_vnni amx_int8 hypervisor
processor\t: 1
model name\t: another that is not looked at
flags\t\t: fpu
"""
PI = """processor\t: 0
Features\t: fp asimd evtstrm crc32 asimdhp asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0b

Revision\t: c04170
Model\t\t: Raspberry Pi 5 Model B Rev 1.0
"""


def test_an_x86_processor_is_named_with_the_flags_that_engines_look_at():
    name, flags = parse_cpuinfo(XEON)
    assert name == "Intel(R) Xeon(R) Platinum 8481C"
    assert flags == ("sse4_1", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "amx_int8")


def test_an_arm_processor_is_named_by_its_board_and_numbers():
    assert parse_cpuinfo(PI) == (
        "Raspberry Pi 5 Model B Rev 1.0, implementer 0x41, part 0xd0b",
        ("asimd", "asimdhp", "asimddp"),
    )


def test_an_arm_server_without_a_board_is_named_by_its_numbers():
    assert parse_cpuinfo("CPU part\t: 0xd4f\n") == ("implementer ?, part 0xd4f", ())


def test_where_the_system_tells_nothing_nothing_is_made_up(tmp_path):
    assert parse_cpuinfo("") == ("", ())
    environment = read_environment(cpuinfo=tmp_path / "missing")
    assert environment.flags == ()
    assert environment.cpu


def test_the_environment_of_this_process_names_what_is_installed():
    environment = read_environment()
    assert environment.cores >= 1
    assert environment.python.endswith(".".join(map(str, sys.version_info[:3])))
    assert environment.versions["edgetl-runtime"] == __version__
    assert {"numpy", "pillow", "onnxruntime"} <= set(environment.versions)


def test_what_is_not_installed_is_not_named(monkeypatch):
    monkeypatch.setattr(environment_module, "DISTRIBUTIONS", ("numpy", "edgetl-no-such-library"))
    assert set(read_environment().versions) == {"edgetl-runtime", "numpy"}


def test_reading_it_imports_no_library():
    code = (
        "import sys; from edgetl_runtime.environment import read_environment; read_environment();"
        "print(sorted({'numpy', 'PIL', 'onnxruntime', 'openvino'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_the_system_is_named_as_python_names_it():
    assert read_environment().os == platform.platform()
