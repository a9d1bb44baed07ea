"""What only an accelerator reaches, rehearsed on a fake one: its memory and limits, its failures, its names.

The fake device obeys JAX's own reading of the environment, counts its memory as JAX's devices do, and fails in XLA's words.
"""

from __future__ import annotations

import os
import resource
from dataclasses import replace
from types import SimpleNamespace

import harness_fake
import jax
import pytest
from harness_fake import GPU_SLOT, FakeGPU
from test_cli import call

from benchmarks import bench_memory, suite
from benchmarks.commands import doctor
from benchmarks.commands import sweep as sweeping
from benchmarks.execution import isolate, measure, memory
from benchmarks.execution.sweep import slots
from benchmarks.leaderboard import figure
from benchmarks.planning import campaign
from benchmarks.planning.subjects import Device, NoDevice, start_jax
from benchmarks.records import environment
from benchmarks.records.errors import UserError
from benchmarks.records.outcome import failure
from benchmarks.records.protocol import GIGABYTE
from benchmarks.records.record import Cause, Status
from benchmarks.records.store import Store
from solvers.neural import Compiled

LIMIT = 40 * GIGABYTE


@pytest.fixture
def gpu(monkeypatch):
    """The fake device, as the only one that JAX has in this process; what starting it sets in JAX is taken back."""
    device = FakeGPU()
    device.start()
    before = jax.config.jax_default_matmul_precision
    monkeypatch.setattr(jax, "local_devices", lambda: [device])
    monkeypatch.setattr(jax, "local_device_count", lambda: 2)
    yield device
    jax.config.update("jax_default_matmul_precision", before)


# The device


def test_a_started_accelerator_tells_its_names_and_its_memory(gpu):
    device = start_jax("float32")
    assert (device.platform, device.kind, device.count) == ("gpu", "NVIDIA H100 80GB HBM3", 2)
    assert device.memory == gpu.memory_stats()["bytes_limit"] == int(0.75 * gpu.total)
    gpu.allocate(3 * GIGABYTE)
    gpu.free()
    assert device.peak_bytes() == 3 * GIGABYTE
    gpu.limit = None  # another allocator, without an account
    assert (start_jax("float32").memory, device.peak_bytes()) == (None, None)


def test_float32_is_multiplied_as_float32(gpu, monkeypatch):
    """Left to itself, JAX rounds factors to 10 bits on an accelerator. What CPUs compile stays as it was."""
    product = jax.jit(lambda a, b: a @ b)
    shapes = [jax.ShapeDtypeStruct((3, 4), "float32"), jax.ShapeDtypeStruct((4, 5), "float32")]
    monkeypatch.setattr(gpu, "platform", "cpu")
    start_jax("float32")
    assert "HIGHEST" not in product.lower(*shapes).as_text()
    monkeypatch.setattr(gpu, "platform", "gpu")
    start_jax("float32")
    assert "HIGHEST" in product.lower(*shapes).as_text()


# The limit


USERS = (
    {},
    {"XLA_CLIENT_MEM_FRACTION": "0.9"},
    {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.9"},
    {"XLA_PYTHON_CLIENT_ALLOCATOR": "platform"},
)


@pytest.mark.usefixtures("h100")
@pytest.mark.parametrize("settings", USERS, ids=lambda settings: " ".join(settings) or "nothing")
def test_the_allocator_has_no_more_than_the_limit_whatever_the_user_has_set(make_cell, monkeypatch, settings):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    made = isolate._environment(make_cell(memory_limit=LIMIT), isolate.Slot(), environment.host_environment())
    for name in [name for name in os.environ if name.startswith("XLA_")]:
        monkeypatch.delenv(name)
    for name, value in made.items():
        if name.startswith("XLA_"):
            monkeypatch.setenv(name, value)
    device = FakeGPU()
    device.start()
    assert 0.99 * LIMIT < device.limit <= LIMIT


@pytest.mark.usefixtures("h100")
def test_a_limit_beyond_the_device_leaves_room_for_the_driver(make_cell):
    made = isolate._environment(
        make_cell(memory_limit=1_000 * GIGABYTE), isolate.Slot(), environment.host_environment()
    )
    assert made["XLA_CLIENT_MEM_FRACTION"] == "0.950000"


@pytest.mark.usefixtures("h100")
def test_a_cell_on_an_accelerator(make_cell):
    """Its peak is the allocator's, and the memory of its process is not limited."""
    record = isolate.isolate(make_cell("host-hog", memory_limit=3 * 10**8), GPU_SLOT)
    assert (record.status, record.reason) == (Status.OK, "")
    assert (record.metrics.peak_bytes, record.metrics.peak_of) == (10**8, "device")
    seen = record.environment
    assert (seen.platform, seen.device, seen.driver) == ("gpu", "NVIDIA H100 80GB HBM3", "570.86")
    assert (seen.device_memory, seen.memory_limit) == (81_559 * 2**20, "emulated on the device")
    assert seen.machine.startswith("NVIDIA H100 80GB HBM3 (")


@pytest.mark.usefixtures("h100")
def test_40_gb_end_a_cell_on_a_device_of_80(make_cell):
    record = isolate.isolate(make_cell("device-hog", memory_limit=LIMIT), GPU_SLOT)
    assert (record.status, record.cause) == (Status.OOM, Cause.DEVICE)
    assert "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 50000000000 bytes" in record.reason
    record = isolate.isolate(make_cell("device-hog", memory_limit=1_000 * GIGABYTE), GPU_SLOT)
    assert (record.status, record.metrics.peak_bytes) == (Status.OK, 50 * GIGABYTE)


@pytest.mark.parametrize("told", [(), ("NVIDIA H100 80GB HBM3, 81559, 570.86, GPU-5a51-3, Enabled",)])
def test_where_the_share_is_not_known_the_child_keeps_the_limit(make_cell, machine, told):
    """Without nvidia-smi, or where it tells the size of a device of which this process has a slice."""
    machine(*told)
    assert environment.host_environment().device_memory is None
    record = isolate.isolate(make_cell("device-hog", memory_limit=LIMIT), GPU_SLOT)
    assert (record.status, record.cause) == (Status.OOM, Cause.DEVICE)
    assert "50,000,000,000 bytes of the device were in use at a time" in record.reason
    assert (record.environment.platform, record.environment.device_memory) == ("gpu", None)
    assert record.environment.memory_limit == "emulated on the device"
    assert isolate.isolate(make_cell(memory_limit=LIMIT), GPU_SLOT).status is Status.OK


def test_a_program_larger_than_an_unlimited_allocator_may_serve_is_not_started(make_cell):
    record = measure.measure(make_cell(memory_limit=1_000), lib=harness_fake.ACCELERATED)
    assert (record.status, record.cause) == (Status.OOM, Cause.ESTIMATE)
    assert record.environment.memory_limit == "emulated on the device"
    record = measure.measure(make_cell(memory_limit=10**10), lib=harness_fake.ACCELERATED)
    assert record.status is Status.OK


def test_a_solver_without_a_compiled_step_is_started_and_its_declaration_kept(make_cell):
    record = measure.measure(make_cell("null-affine", memory_limit=1_000), lib=harness_fake.ACCELERATED)
    assert (record.status, record.sees_solution, record.baselines) == (Status.OK, True, ("zero",))


def test_a_program_of_unknown_size_is_started_and_judged_by_its_peak(make_cell, monkeypatch):
    compiled = SimpleNamespace(bytes=None, seconds=0.1)
    monkeypatch.setattr(harness_fake.FakeSolver, "compile", lambda self, pde, **_: compiled)
    small, large = (harness_fake.accelerated(peak) for peak in (900, 1_100))
    record = measure.measure(make_cell(memory_limit=1_000), lib=small)
    assert (record.status, record.metrics.peak_bytes) == (Status.OK, 900)
    record = measure.measure(make_cell(memory_limit=1_000), lib=large)
    assert (record.status, record.cause) == (Status.OOM, Cause.DEVICE)


def test_a_compiler_without_an_account_of_memory_gives_none():
    silent = SimpleNamespace(memory_analysis=lambda: None)
    assert Compiled(None, None, silent, 0.0, steps=1).bytes is None


@pytest.mark.parametrize("told", ["", "VmSize:\t1 kB\n", "VmHWM:\t70000 kB\n"])
def test_the_peak_of_a_process_is_known_where_the_kernel_tells_little(monkeypatch, tmp_path, told):
    """As gVisor, which has no VmHWM."""
    status = tmp_path / "status"
    status.write_text(told)
    monkeypatch.setattr(memory, "_STATUS", status)
    expected = 70_000 * 1024 if "VmHWM" in told else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert memory.peak_memory(Device("cpu", "cpu")) == (expected, "process")


@pytest.mark.parametrize(
    ("compiled", "reused", "known"), [(True, 0, True), (True, 5, True), (False, 0, True), (False, 1, False)]
)
def test_there_is_no_peak_of_a_process_that_others_compiled_for(compiled, reused, known):
    """Compiling may need more than training; an accelerator's account is of buffers alone, and is known in any case."""
    cpu = Device("cpu", "cpu", reused=lambda: reused)
    assert (memory.peak_memory(cpu, compiled) != (None, None)) is known
    gpu = replace(cpu, peak_bytes=lambda: 7)
    assert memory.peak_memory(gpu, compiled) == (7, "device")


# Failures


@pytest.mark.usefixtures("h100")
@pytest.mark.parametrize("solver", ["device-oom", "cuda-oom", "device-abort"])
def test_however_the_device_says_that_its_memory_is_over(make_cell, solver):
    record = isolate.isolate(make_cell(solver), GPU_SLOT)
    assert (record.status, record.cause) == (Status.OOM, Cause.DEVICE), record.reason


def test_an_exception_of_jax_is_told_by_its_words():
    for words in (
        "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 512000000000 bytes.",
        "INTERNAL: Failed to load in-memory CUBIN: CUDA_ERROR_OUT_OF_MEMORY: out of memory",
    ):
        assert failure(jax.errors.JaxRuntimeError(words)).cause is Cause.DEVICE
    outcome = failure(jax.errors.JaxRuntimeError("INTERNAL: cuSolver internal error"))
    assert (outcome.status, outcome.cause) == (Status.ERROR, Cause.EXCEPTION)


def test_a_killed_child_has_told_on_which_device_it_ran(make_cell, machine):
    machine()  # its parent does not know it
    record = isolate.isolate(make_cell("kill"), GPU_SLOT)
    assert (record.status, record.cause) == (Status.ERROR, Cause.SIGNAL)
    assert (record.environment.platform, record.environment.device) == ("gpu", "NVIDIA H100 80GB HBM3")


@pytest.mark.usefixtures("h100")
def test_an_accelerator_that_does_not_start_is_a_row_on_that_machine(make_cell):
    def refuse(dtype):
        raise NoDevice("JAX cannot start here: CUDA_ERROR_NO_DEVICE")

    record = measure.measure(make_cell(), lib=replace(harness_fake.LIBRARY, start=refuse))
    assert (record.status, record.cause) == (Status.ERROR, Cause.EXCEPTION)
    assert (record.environment.device, record.environment.memory_limit) == (
        "NVIDIA H100 80GB HBM3",
        "emulated on the device",
    )


def test_a_process_that_the_kernel_killed_for_want_of_memory(make_cell, monkeypatch):
    """The host's memory, which no accelerator limits: large test sets and coefficients are made there."""
    counts = iter([3, 4])
    monkeypatch.setattr(isolate, "_kernel_kills", lambda: next(counts))
    record = isolate.isolate(make_cell("kill"), harness_fake.SLOT)
    assert (record.status, record.cause) == (Status.OOM, Cause.HOST_KILL)


def test_a_pinned_child_has_the_cores_of_its_slot(make_cell):
    core = min(os.sched_getaffinity(0))
    record = isolate.isolate(make_cell(), replace(harness_fake.SLOT, cores=frozenset({core})))
    assert (record.status, record.environment.cpu_count) == (Status.OK, 1)


def test_a_machine_without_tools_has_no_accelerator_that_is_known(machine, monkeypatch, tmp_path):
    machine("Toy A, 40960, 550.54, GPU-8f2a-1, Disabled")
    monkeypatch.setenv("PATH", str(tmp_path))
    environment._gpus.cache_clear()
    assert environment.host_environment().platform == "cpu"
    assert slots(1)[0].environment == {}


# Devices by name, and shared ones


@pytest.mark.usefixtures("gpus")
def test_a_device_is_known_by_its_uuid_and_a_slice_is_not_the_whole(monkeypatch):
    for visible, expected in {
        "GPU-77c0-2": ("Toy B", None),
        "GPU-8f2a": ("Toy A", 40960 * 2**20),  # CUDA takes the beginning, too
        "MIG-1/2/3": ("Toy A", None),
    }.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        host = environment.host_environment()
        assert (host.platform, host.device, host.device_memory) == ("gpu", *expected)


@pytest.mark.usefixtures("gpus")
def test_a_slot_is_that_of_its_own_device():
    """Each device has its share of its own memory, and its name where the child dies."""
    for visible, expected in {"0": ("Toy A", 40960 * 2**20), "1": ("Toy B", None)}.items():
        host = isolate.slot_environment(isolate.Slot(environment={"CUDA_VISIBLE_DEVICES": visible}))
        assert (host.device, host.device_memory) == expected


@pytest.mark.usefixtures("h100")
def test_two_workers_do_not_share_a_device(monkeypatch):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core, one worker")
    with pytest.raises(UserError, match=r"GPUs for 1 worker\(s\), got 2: .* try --workers 1"):
        slots(2)
    assert [slot.environment for slot in slots(1)] == [{}]
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert [slot.environment for slot in slots(2)] == [{}, {}]


# Who reads it


def test_asv_reads_the_peak_of_an_accelerator(gpu, monkeypatch):
    loop = SimpleNamespace(step=lambda: gpu.allocate(10**6), require_finite=lambda: None)
    monkeypatch.setattr(suite, "loop", lambda cell: loop)
    benchmark = bench_memory.Device()
    benchmark.setup("poisson/two-body d=100 stde")
    assert benchmark.track_peak_bytes("poisson/two-body d=100 stde") == 10 * 10**6
    gpu.limit = None
    with pytest.raises(NotImplementedError, match="does not account"):
        benchmark.setup("poisson/two-body d=100 stde")


def test_the_figure_shows_the_peak_of_an_accelerator_and_the_plan_on_a_cpu(make_record):
    for platform, shown in {"cpu": "compiled_bytes", "gpu": "peak_bytes"}.items():
        where = make_record().environment.model_copy(update={"platform": platform})
        assert figure._panels([SimpleNamespace(environments=[where])])[-1] == shown


@pytest.mark.usefixtures("h100")
def test_the_doctor_knows_the_device(monkeypatch):
    code = doctor._DEVICES.replace(
        "from benchmarks.planning.subjects import start_jax", "from harness_fake import start_gpu"
    )
    monkeypatch.setattr(doctor, "_DEVICES", code.replace("start_jax(", "start_gpu("))
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(harness_fake.__file__))
    assert doctor._devices() == (True, "1 × NVIDIA H100 80GB HBM3 (gpu, 63.8 GB for JAX)")


# A campaign


@pytest.mark.usefixtures("h100")
def test_a_campaign_from_its_plan_to_the_leaderboard(monkeypatch, tmp_path):
    """As `papers` goes on a lent machine: cells on the device, one out of memory, a second call that has nothing left to do."""
    for module in (campaign, sweeping):
        monkeypatch.setattr(module, "names", lambda: (harness_fake.PDES, harness_fake.SOLVERS))
        monkeypatch.setattr(module, "families", dict)
    monkeypatch.setattr(sweeping, "subjects", lambda: harness_fake.LIBRARY)
    monkeypatch.setattr(sweeping, "slots", lambda workers: [GPU_SLOT])
    folder = tmp_path / "tables"
    folder.mkdir()
    cells = 'pdes = ["toy/plain"]\ndims = [3]\nsolvers = ["device-hog", "good"]\n'
    (folder / "1.toml").write_text(cells + 'protocol = "paper"\n')
    (folder / "2.toml").write_text(cells + 'protocol = {base = "paper", memory_limit = "1000GB"}\n')
    arguments = ("campaign", str(folder), "--budget", "2m")
    code, _, err = call(*arguments, store=tmp_path / "store")
    assert code == 1, err
    records = Store.reading(tmp_path / "store").read().records.values()
    ended = sorted((r.cell.protocol.memory_limit, r.cell.solver.name, r.status) for r in records)
    assert ended == [
        (LIMIT, "device-hog", Status.OOM),
        (LIMIT, "good", Status.OK),
        (25 * LIMIT, "device-hog", Status.OK),
        (25 * LIMIT, "good", Status.OK),
    ]
    code, _, err = call(*arguments, store=tmp_path / "store")
    assert "4 cell(s) have a record already" in err
    assert len(list((tmp_path / "store").glob("*.json"))) == 4
    code, out, err = call("leaderboard", "--format", "md", store=tmp_path / "store")
    assert (code, err) == (0, "")
    assert out.count("NVIDIA H100 80GB HBM3") >= 2
    code, out, err = call("leaderboard", "--format", "html", store=tmp_path / "store")
    assert (code, "NVIDIA H100 80GB HBM3" in out) == (0, True), err
    monkeypatch.setattr(sweeping, "slots", lambda workers: [isolate.Slot()])
    code, out, _ = call("campaign", str(folder), "--dry-run", "--redo", "all", store=tmp_path / "store")
    assert (code, "4 cells to measure" in out, "100 MB" in out) == (0, True, True)
