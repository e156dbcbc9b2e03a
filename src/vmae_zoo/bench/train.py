"""``vmae-zoo bench train``: what a training step costs, paired with transformers' VideoMAE in one run.

Every contender takes the same uint8 clips, draws its own masks, and does forward, backward and a fused AdamW step.
Rounds time each contender once, in turn, so that a busy machine slows all alike; ratios are of the same round. Memory
is measured in a fresh process per
contender: from the built model to the peak of a few steps (gradients, moments, activations).
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

METHODS = ("VideoMAE", "VideoMAEv2", "MGMAE", "ARVideo", "MAEST", "MAE", "MoCoV3", "Classifier")
REFERENCES = ("transformers-sdpa", "transformers-eager")
MEMORY_STEPS = 2
WARM_UP = 2

Step = Callable[[], None]


@dataclass(frozen=True)
class Setting:
    """What all contenders share."""

    size: str
    batch: int
    device: str
    precision: str
    compile: bool


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    names = (*METHODS, *REFERENCES)
    parser.add_argument(
        "contenders",
        nargs="*",
        default=["VideoMAE", *REFERENCES],
        metavar="NAME",
        help=f"of {', '.join(names)}; the first is the one that ratios refer to",
    )
    parser.add_argument("--size", default="base", help="tiny, small, base, large, huge or giant (default: base)")
    parser.add_argument("--batch", type=int, default=2, help="clips per step (default: 2)")
    parser.add_argument("--rounds", type=int, default=10, help="timed steps of each contender (default: 10)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="default: bfloat16 on cuda, else float32")
    parser.add_argument("--compile", action="store_true", help="compile our blocks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to this file")
    parser.add_argument("--memory-of", choices=names, help=argparse.SUPPRESS)
    parser.epilog = "example: vmae-zoo bench train VideoMAE transformers-sdpa transformers-eager --size base --batch 2"


def run(args: argparse.Namespace) -> int:
    """Time the contenders and print a table."""
    import torch

    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    precision = args.precision or ("bfloat16" if device == "cuda" else "float32")
    setting = Setting(args.size, args.batch, device, precision, args.compile)
    if args.memory_of:
        print(json.dumps(memory(args.memory_of, setting)))
        return 0
    unknown = [name for name in args.contenders if name not in (*METHODS, *REFERENCES)]
    if unknown:
        raise ValueError(f"no contender {unknown[0]}: choose of {', '.join((*METHODS, *REFERENCES))}")
    result = compare(args.contenders, setting, args.rounds)
    print(table(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


def compare(names: list[str], setting: Setting, rounds: int) -> dict[str, Any]:
    """Times, ratios, arithmetic and memory of some contenders."""
    import torch

    from vmae_zoo.training.flops import peak_flops

    steps = {name: build(name, setting) for name in names}
    for _ in range(WARM_UP):
        for step, _ in steps.values():
            step()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        _progress(f"round {number + 1}/{rounds}")
        for name, (step, _) in steps.items():
            seconds[name].append(timed(step, setting.device))
    flops = {name: count for name, (_, count) in steps.items()}
    del steps
    on_gpu = setting.device == "cuda"
    peak = peak_flops(torch.cuda.get_device_name()) if on_gpu else None
    rows = []
    for name in names:
        _progress(f"memory of {name}")
        middle = statistics.median(seconds[name])
        ratios = [one / first for one, first in zip(seconds[name], seconds[names[0]], strict=True)]
        flop = flops[name]
        rows.append(
            {
                "name": name,
                "ms": round(1e3 * middle, 2),
                "ms_spread": [round(1e3 * min(seconds[name]), 2), round(1e3 * max(seconds[name]), 2)],
                "clips_per_second": round(setting.batch / middle, 3),
                "ratio": round(statistics.median(ratios), 3),
                "ratio_interval": interval(ratios),
                "gflop_per_clip": None if flop is None else round(flop / 1e9, 1),
                "tflop_per_second": None if flop is None else round(flop * setting.batch / middle / 1e12, 3),
                "mfu": None if flop is None or peak is None else round(flop * setting.batch / middle / peak, 4),
                "peak_mb": _memory_in_a_fresh_process(name, setting),
            }
        )
    _progress("")
    machine = torch.cuda.get_device_name() if on_gpu else f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    return {"machine": machine, "torch": torch.__version__, **setting.__dict__, "rounds": rounds, "rows": rows}


def build(name: str, setting: Setting) -> tuple[Step, float | None]:
    """One training step of a contender, and its FLOPs per clip where they can be counted."""
    import torch

    torch.manual_seed(0)
    model, loss_of, flops = _theirs(name, setting) if name in REFERENCES else _ours(name, setting)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)
    half = setting.precision == "bfloat16"

    def step() -> None:
        with torch.autocast(setting.device, torch.bfloat16, enabled=half):
            loss = loss_of()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step, flops


def clips(grid: Any, setting: Setting) -> dict[str, Any]:
    """A batch such as the data module gives, of noise."""
    import torch

    generator = torch.Generator().manual_seed(0)
    shape = (setting.batch, 3, *grid.pixels)
    batch = {
        "video": torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        "other": torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        "key": torch.arange(setting.batch),
        "label": torch.zeros(setting.batch, dtype=torch.int64),
        "scores": torch.rand(setting.batch, grid.tokens, generator=generator),
    }
    return {name: value.to(setting.device) for name, value in batch.items()}


def _ours(name: str, setting: Setting) -> tuple[Any, Callable[[], Any], float | None]:
    import torch

    import vmae_zoo.methods
    from vmae_zoo.training.flops import flops_per_clip

    settings = {"num_classes": 400} if name == "Classifier" else {}
    method = getattr(vmae_zoo.methods, name)(size=setting.size, compile=setting.compile, **settings)
    method = method.to(setting.device).train()
    method.configure_model()
    batch = clips(method.grid, setting)

    def loss() -> Any:
        if name == "Classifier":
            return torch.nn.functional.cross_entropy(method(method.normalise(batch["video"])), batch["label"])
        return method(*method.inputs(batch)).loss

    return method, loss, flops_per_clip(method, batch)


def _theirs(name: str, setting: Setting) -> tuple[Any, Callable[[], Any], None]:
    """VideoMAE of the transformers library: the same sizes, the same clips, a tube mask drawn as ours."""
    try:
        import transformers
    except ModuleNotFoundError:
        raise ValueError(f"{name} needs the transformers library: pip install transformers") from None
    from vmae_zoo.masking import TokenGrid, tube_split
    from vmae_zoo.models.preprocessing import Normaliser, Preprocessing
    from vmae_zoo.models.sizes import decoder_size, encoder_size

    encoder, decoder = encoder_size(setting.size), decoder_size("videomae", setting.size)
    settings: dict[str, Any] = {
        "hidden_size": encoder.width,
        "num_hidden_layers": encoder.depth,
        "num_attention_heads": encoder.num_heads,
        "intermediate_size": 4 * encoder.width,
        "decoder_hidden_size": decoder.width,
        "decoder_num_hidden_layers": decoder.depth,
        "decoder_num_attention_heads": decoder.num_heads,
        "decoder_intermediate_size": 4 * decoder.width,
        "use_mean_pooling": False,
        "attn_implementation": name.removeprefix("transformers-"),
    }
    model: Any = transformers.VideoMAEForPreTraining(transformers.VideoMAEConfig(**settings))
    model.to(setting.device).train()
    normaliser = Normaliser(Preprocessing()).to(setting.device)
    grid = TokenGrid(8, 14, 14)
    batch = clips(grid, setting)

    def loss() -> Any:
        hidden = tube_split(batch["key"], grid, 0.9).hidden(grid.tokens)
        return model(normaliser(batch["video"]).transpose(1, 2), bool_masked_pos=hidden).loss

    return model, loss, None


def timed(step: Step, device: str) -> float:
    """Seconds of one step, the device's work included."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def interval(values: list[float]) -> list[float]:
    """A 95 % interval of the median by order statistics: the second and the second-last of ten."""
    cut = max(int(0.5 * len(values) - 0.98 * len(values) ** 0.5), 0)
    ordered = sorted(values)
    return [round(ordered[cut], 3), round(ordered[-1 - cut], 3)]


def memory(name: str, setting: Setting) -> float:
    """MB from the built model to the peak of a few steps, in this process."""
    import torch

    step, _ = build(name, setting)
    if setting.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        for _ in range(MEMORY_STEPS):
            step()
        return torch.cuda.max_memory_allocated() / 1e6
    before = _peak_bytes()
    for _ in range(MEMORY_STEPS):
        step()
    return (_peak_bytes() - before) / 1e6


def _peak_bytes() -> int:
    """The most memory this process has held; Linux tells it per program, elsewhere a parent's may be counted."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _memory_in_a_fresh_process(name: str, setting: Setting) -> float | None:
    options = ["--memory-of", name, "--size", setting.size, "--batch", str(setting.batch), "--device", setting.device]
    options += ["--precision", setting.precision, *(["--compile"] if setting.compile else [])]
    command = [sys.executable, "-m", "vmae_zoo", "bench", "train", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return round(float(done.stdout.split()[-1]), 1) if done.returncode == 0 and done.stdout.split() else None


def table(result: dict[str, Any]) -> str:
    """The numbers for a terminal."""
    setting = f"{result['size']}, {result['batch']} clips a step, {result['precision']}"
    head = f"{setting}, {result['machine']}, {result['rounds']} rounds"
    lines = [
        head,
        f"{'':22}{'ms (min-max)':>26}{'clips/s':>10}{'ratio (95 %)':>24}{'TFLOP/s':>9}{'MFU':>7}{'peak MB':>9}",
    ]
    for row in result["rows"]:
        spread = f"{row['ms']:.0f} ({row['ms_spread'][0]:.0f}-{row['ms_spread'][1]:.0f})"
        ratio = f"{row['ratio']:.2f} ({row['ratio_interval'][0]:.2f}-{row['ratio_interval'][1]:.2f})"
        cells = ("tflop_per_second", ".2f", 9), ("mfu", ".1%", 7), ("peak_mb", ".0f", 9)
        rest = "".join("-".rjust(w) if row[key] is None else format(row[key], form).rjust(w) for key, form, w in cells)
        lines.append(f"{row['name']:22}{spread:>26}{row['clips_per_second']:>10.2f}{ratio:>24}{rest}")
    return "\n".join(lines)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<40}", end="" if text else "\r", file=sys.stderr, flush=True)
