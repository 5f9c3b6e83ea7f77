"""Readies the process for TensorFlow, before TensorFlow is imported; reads what the processor can do.

Acts when an entry point calls `prepare`, never by being imported.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import re
import resource
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from dogcat.core import files
from dogcat.core.options import InputError

# Blocks up to this size come from the heap and stay there for the next batch. A batch of 128 pictures of
# 299x299x3 has 34 MB, just above glibc's own limit of 32 MiB, beyond which each block is mapped, faulted in
# page by page and given back: that costs more than the copy. A batch of floats has 137 MB.
_HEAP_BLOCK_BYTES = 512 * 2**20
# The heap gives memory back to the system when more than this is free at its end: the bound on what the
# process keeps beyond its need.
_KEPT_FREE_BYTES = 1024 * 2**20
# glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

# Each shard that is read keeps one; a process may have 1,024 unless it asks for more.
_OPEN_FILES = 8192

# Settings of other programs: with them TensorFlow takes another Keras, or a part of protobuf that is not there.
_OF_OTHERS = ("TF_USE_LEGACY_KERAS", "KERAS_BACKEND", "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION")
# Packages that TensorFlow and Keras import, where they are installed, for functions that no command calls: that takes a
# second or two, and Matplotlib comes with the user's settings of it.
_NOT_NEEDED = ("IPython", "jax", "matplotlib", "pandas", "sklearn")
# Flags of TensorFlow's compilers.
_FLAGS = ("TF_XLA_FLAGS", "XLA_FLAGS")

NVIDIA_DRIVER = Path("/proc/driver/nvidia")
# A value of KERAS_HOME with which Keras, when it is imported, neither reads settings nor writes any.
NO_KERAS_HOME = os.path.join(os.devnull, "keras")

# What TensorFlow prints at import, whatever is right or wrong: 2.15 registers CUDA's libraries twice, and both tell
# which instructions the binary was built for.
_IMPORT_NOISE = re.compile(
    r"Unable to register cu\w+ factory|TF-TRT Warning|Could not find cuda drivers|"
    r"computation_placer already registered|oneDNN custom operations are on|"
    r"This TensorFlow binary is optimized|To enable the following instructions|"
    r"All log messages before absl::InitializeLog"
)


def prepare(for_library: bool = False) -> None:
    """Sets up the allocator, open files, oneDNN and the log level, then imports TensorFlow without its noise.

    What the user has set for speed and for logging is left as it is. Settings of other programs that use Keras, which
    would change what this one computes, are kept away.

    Args:
        for_library: Whether the process is another program's, which may want all of Keras.

    Raises:
        InputError: Nothing can be written where temporary files go, or Python is to strip what TensorFlow needs.
    """
    if sys.flags.optimize > 1:
        raise InputError("PYTHONOPTIMIZE=2, or -OO: TensorFlow cannot be imported without docstrings; use 1 or none")
    files.find_temporary_folder()
    keep_large_blocks()
    allow_open_files()
    if any(option.startswith("error") for option in sys.warnoptions):
        # Of a program that is tested; libraries warn all the time.
        warnings.simplefilter("ignore")
    # Else HDF5 locks the files that it reads, which fails where there are no locks.
    os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
    # Else whatever is read of gs:// is 64 MB, and of s3:// several times the block that is asked for.
    os.environ.setdefault("GCS_READ_CACHE_BLOCK_SIZE_MB", "0")
    os.environ.setdefault("S3_DISABLE_MULTI_PART_DOWNLOAD", "1")
    for name in _OF_OTHERS:
        os.environ.pop(name, None)
    # Off by default on AMD and older Intel processors, where it makes Xception 1.4-1.7 times as fast.
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") not in ("0", "1", "false", "true"):
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
    # What goes wrong in a call comes as an exception. Errors are logged where they may tell why a GPU is not used; on
    # a processor XLA logs one of them whenever it begins to compute on another thread.
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") not in ("0", "1", "2", "3"):
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2" if NVIDIA_DRIVER.exists() else "3"
    # Addons says at import that it is no longer developed; BUILD_NOTES.md says why it is used.
    warnings.filterwarnings("ignore", message=r"\s*TensorFlow Addons \(TFA\)")
    if "tensorflow" not in sys.modules:
        _import_quietly(() if for_library else _NOT_NEEDED)
        if not for_library:
            # All of it stays, and takes long to look through.
            gc.freeze()
    _set_keras()


def keep_large_blocks() -> None:
    """Tells glibc's malloc to keep blocks of the size of a batch; does nothing on other C libraries."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, _HEAP_BLOCK_BYTES)
    libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE_BYTES)


def allow_open_files() -> None:
    """Raises the number of files that the process may have open, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _import_quietly(without: Sequence[str]) -> None:
    """Imports TensorFlow and passes on what it printed, less the lines that it always prints."""
    with tempfile.TemporaryFile() as printed, _garbage_left():
        try:
            with _native_messages_into(printed.fileno()), _without_keras_json(), _taken_for_missing(*without):
                import tensorflow as tf

                for gpu in tf.config.list_physical_devices("GPU"):
                    # Else TensorFlow takes the whole memory of every GPU at once.
                    tf.config.experimental.set_memory_growth(gpu, True)
        finally:
            printed.seek(0)
            for line in printed.read().decode(errors="replace").splitlines():
                if line.strip() and not _IMPORT_NOISE.search(line):
                    print(line, file=sys.stderr)


@contextlib.contextmanager
def _taken_for_missing(*names: str) -> Iterator[None]:
    """A block in which packages are not found by others that can do without them."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def _garbage_left() -> Iterator[None]:
    """A block in which Python does not look for garbage; an import makes hundreds of thousands of objects that stay."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextlib.contextmanager
def _without_keras_json() -> Iterator[None]:
    """A block in which Keras, when it is imported, neither reads its settings in the user's folder nor writes any."""
    with variables_set(KERAS_HOME=NO_KERAS_HOME):
        yield


@contextlib.contextmanager
def variables_set(**values: str) -> Iterator[None]:
    """A block in which environment variables have these values; behind it they are what they were."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _set_keras() -> None:
    """Sets what the user's settings may have changed where Keras was imported before."""
    from tensorflow import keras

    keras.backend.set_image_data_format("channels_last")
    keras.backend.set_floatx("float32")
    keras.backend.set_epsilon(1e-7)


@contextlib.contextmanager
def native_messages_dropped() -> Iterator[None]:
    """A block in which nothing reaches standard error, where a library only chats; errors come as exceptions."""
    with open(os.devnull, "wb") as nowhere, _native_messages_into(nowhere.fileno()):
        yield


@contextlib.contextmanager
def _native_messages_into(descriptor: int) -> Iterator[None]:
    """A block in which standard error, that of libraries in C++ too, goes elsewhere.

    Not where TensorFlow may end the process over a flag that it does not know, and says so on standard error.
    """
    if any(os.environ.get(name) for name in _FLAGS):
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


def home_folder() -> Path:
    """The user's home folder; of a user whom the system does not know, the root folder, as containers have it."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def available_cores() -> int:
    """Number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    """The processor's model name, as the system gives it."""
    match = re.search(r"^model name\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)
    return match[1] if match else platform.processor() or platform.machine()


def has_fast_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware; elsewhere it is emulated, 8-30 times slower."""
    return bool({"amx_bf16", "avx512_bf16"} & processor_features())


def processor_features() -> set[str]:
    """The processor's features, by the names that Linux gives them."""
    match = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)
    return set(match[1].split()) if match else set()


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""
