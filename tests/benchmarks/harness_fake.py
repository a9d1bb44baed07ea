"""A small pair of packages to test the harness with: quick, without JAX, and able to fail in every way.

Run as a script it is a child process like `benchmarks.execution.measure`, with these packages instead of the real ones.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from benchmarks.execution import measure, nursery
from benchmarks.execution.isolate import Slot
from benchmarks.planning.subjects import Device, Subjects, start_jax

# How many times the usual number of random cases: PDEZOO_FUZZ=10 makes more than ten thousand.
FUZZ = int(os.environ.get("PDEZOO_FUZZ", "1"))
PDES = ["toy/plain", "toy/broken", "line/only"]


@dataclass
class FakeGPU:
    """A device as JAX shows an H100: its allocator has the share of the memory that the environment's variables ask for, read by
    JAX's own function, and refuses in XLA's words what goes beyond.
    """

    platform = "gpu"
    device_kind = "NVIDIA H100 80GB HBM3"
    total = 85_017_493_504  # what CUDA has of the 81,559 MiB of which nvidia-smi knows
    limit: int | None = None
    used: int = 0
    peak: int = 0

    def start(self) -> None:
        from jaxlib.xla_client import generate_pjrt_gpu_plugin_options

        options = generate_pjrt_gpu_plugin_options()
        fraction = options.get("memory_fraction", 0.75)
        self.limit = None if options["allocator"] == "platform" else int(self.total * fraction)

    def memory_stats(self) -> dict[str, int] | None:
        if self.limit is None:
            return None
        return {
            "num_allocs": 1,
            "bytes_in_use": self.used,
            "peak_bytes_in_use": self.peak,
            "largest_alloc_size": self.peak,
            "bytes_limit": self.limit,
        }

    def allocate(self, count: int) -> None:
        import jax

        if self.used + count > (self.limit or self.total):
            words = f"RESOURCE_EXHAUSTED: Out of memory while trying to allocate {count} bytes."
            raise jax.errors.JaxRuntimeError(words)
        self.used += count
        self.peak = max(self.peak, self.used)

    def free(self) -> None:
        self.used = 0


GPU = FakeGPU()


def start_gpu(dtype: str) -> Device:
    """Starts JAX as if its only device were the fake one."""
    import jax

    GPU.start()
    GPU.allocate(10**8)
    GPU.free()
    with mock.patch.multiple(jax, local_devices=lambda: [GPU], local_device_count=lambda: 1):
        return start_jax(dtype)


class BadDimension(ValueError):
    pass


class BadHyperparameter(ValueError):
    pass


@dataclass(frozen=True)
class FakePDE:
    name: str
    dim: int
    seed: int = 0

    @property
    def baseline_names(self) -> tuple[str, ...]:
        return ("zero",)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()


def make_pde(name: str, dim: int | None = None, seed: int = 0) -> FakePDE:
    if name == "toy/broken":
        raise ImportError("no module named 'nowhere'")
    if name == "line/only" and dim not in (None, 1):
        raise BadDimension(f"line has one dimension, got {dim}")
    return FakePDE(name, dim or 1, seed)


def finish(error: float = 0.05, status: str = "ok", loss: float | None = 0.5, reason: str = "") -> Any:
    history = [{"step": k, "seconds": 0.1 * k, "loss": 1.0 / k, "relative_l2": 1.0 / k} for k in range(1, 11)]
    return SimpleNamespace(
        status=status,
        reason=reason,
        steps=10,
        loss=loss,
        history=history,
        seconds=1.0,
        compile_seconds=0.5,
        steps_per_second=10.0,
        compiled_bytes=1000,
        errors={
            "relative_l2": error,
            "relative_l1": error,
            "mean_square": error**2,
            "test_set_error": 0.01,
        },
        best=0.04,
        forward_evaluations=20,
    )


def good() -> Any:
    return finish()


def nan_loss() -> Any:
    return finish(float("nan"), "diverged", 0.7, "Loss became non-finite at step 7.")


def nan_error() -> Any:
    return finish(float("nan"))


def hang() -> Any:
    time.sleep(600)


def hog() -> Any:
    kept = []
    while True:
        kept.append(bytearray(b"x" * 20_000_000))
        time.sleep(0.005)


def child_hog() -> Any:
    code = "import time; x = [bytearray(b'x' * 10**7) for _ in range(60)]; time.sleep(60)"
    subprocess.run([sys.executable, "-c", code], check=False)


def segv() -> Any:
    os.kill(os.getpid(), signal.SIGSEGV)


def kill() -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> Any:
    raise SystemExit(3)


def hard_leave() -> Any:
    print("about to leave", flush=True)
    os._exit(7)


def clean_leave() -> Any:
    os._exit(0)


def bad_import() -> Any:
    import a_module_that_does_not_exist  # noqa: F401


def memory_error() -> Any:
    raise MemoryError


def device_oom() -> Any:
    raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 17179869184 bytes.")


def device_hog() -> Any:
    """Needs 50 GB of the device, and gives them back."""
    GPU.allocate(5 * 10**10)
    GPU.free()
    return good()


def cuda_oom() -> Any:
    raise RuntimeError("INTERNAL: Failed to load in-memory CUBIN: CUDA_ERROR_OUT_OF_MEMORY: out of memory")


def device_abort() -> Any:
    print("F0000 Check failed: allocated.ok() RESOURCE_EXHAUSTED: Out of memory", flush=True)
    os.abort()


def host_hog() -> Any:
    """Needs 400 MB of the host."""
    return finish() if len(bytearray(b"x") * 400_000_000) else None


def crash() -> Any:
    print("\x1b[31mred words\x1b[0m \x07 before the end", flush=True)
    raise ZeroDivisionError("division by \x00 zero")


BEHAVIOURS = {
    f.__name__.replace("_", "-"): f
    for f in (
        good,
        nan_loss,
        nan_error,
        hang,
        hog,
        child_hog,
        segv,
        kill,
        leave,
        hard_leave,
        clean_leave,
        bad_import,
        memory_error,
        device_oom,
        device_hog,
        cuda_oom,
        device_abort,
        host_hog,
        crash,
    )
}
SOLVERS = [*BEHAVIOURS, "choosy", "null-affine"]


@dataclass(frozen=True)
class FakeSolver:
    name: str
    samples: int = 16

    @property
    def sees_solution(self) -> bool:
        return self.name == "null-affine"

    def hyperparameters(self) -> dict[str, Any]:
        return {"estimator": {"samples": self.samples}}

    def unsupported(self, pde: FakePDE) -> str | None:
        return "it does not like toys" if self.name == "choosy" else None

    def compile(self, pde: FakePDE, **_: Any) -> Any:
        return None if self.name == "null-affine" else SimpleNamespace(bytes=10**7, seconds=0.1)

    def fit(self, pde: FakePDE, *, progress: Any, steps: int, **_: Any) -> Any:
        progress(1, steps, 0.9, None)
        return BEHAVIOURS.get(self.name, good)()


def make_solver(name: str, **given: Any) -> FakeSolver:
    if set(given) - {"samples"}:
        raise BadHyperparameter(f"{name} has samples, got {', '.join(given)}")
    return FakeSolver(name, **given)


def null_errors(test: Any) -> dict[str, dict[str, float]]:
    errors = {"zero": 1.0, "constant": 0.5, "affine": 0.1}
    return {name: {"relative_l2": value, "relative_l1": value} for name, value in errors.items()}


LIBRARY = Subjects(
    start=lambda dtype: Device("cpu", "cpu"),
    make_pde=make_pde,
    make_solver=make_solver,
    test_set=lambda pde, size, cache: SimpleNamespace(pde=pde, size=size),
    null_errors=null_errors,
    bad_dimension=BadDimension,
    bad_hyperparameter=BadHyperparameter,
)


def accelerated(peak: int | None = None) -> Subjects:
    """The fake packages on an accelerator whose allocator may use a gigabyte; `peak` bytes of it were in use."""
    device = Device("gpu", "toy accelerator", memory=10**9, peak_bytes=lambda: peak)
    return replace(LIBRARY, start=lambda dtype: device)


ACCELERATED = accelerated()
SLOT = Slot(command=(sys.executable, "-P", __file__, "cpu"))
FORKED = replace(SLOT, nursery=(sys.executable, "-P", __file__, "nursery"))
GPU_SLOT = Slot(command=(sys.executable, "-P", __file__, "gpu"))


if __name__ == "__main__":
    if sys.argv[1] == "nursery":
        nursery.serve(lambda: sys.exit(measure.main(lib=LIBRARY)), (Path(__file__).parent,))
        sys.exit()
    libraries = {"cpu": LIBRARY, "gpu": replace(LIBRARY, start=start_gpu)}
    sys.exit(measure.main(sys.argv[2:], lib=libraries[sys.argv[1]]))
