"""``summary.txt``, a table of all results, and ``bench_train_gpu.json`` in the format of ``vmae-zoo bench train``."""

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.gpu_day.session import Session

SHOWN = (
    "bf16_against_fp32",
    "compiled_against_eager",
    "copy",
    "copy_stream",
    "cpu_against_device",
    "fit",
    "h2d_pinned",
    "masks",
    "motion_map",
    "out_of_memory",
    "raft",
    "skipped_step",
    "syncs",
)
HIDDEN = ("step", "seconds", "losses", "traceback", "points")
COLUMNS = {  # column -> (key of a step, factor, digits)
    "ms": ("ms", 1, 1),
    "b2b": ("ms_back_to_back", 1, 1),
    "+data": ("ms_back_to_back_with_data", 1, 1),
    "host": ("host_ms", 1, 1),
    "data": ("data_ms", 1, 1),
    "clips/s": ("clips_per_second_back_to_back", 1, 0),
    "MFU %": ("mfu_back_to_back", 100, 1),
    "peak GB": ("peak_mb", 1e-3, 1),
    "first s": ("first_step_s", 1, 1),
}


def write_summary(session: Session) -> None:
    """Write both files and print the table."""
    results = [json.loads(line) for line in (session.out / "results.jsonl").read_text().splitlines()]
    steps = [result for result in results if result["what"] == "step" and "ms" in result and not result.get("variant")]
    machine = next((result["name"] for result in results if result["what"] == "device"), "CPU (smoke run)")
    versions: dict[str, Any] = next((result for result in results if result["what"] == "versions"), {})
    lines = [f"{machine}, torch {versions.get('torch')}", ""]
    lines += [f"{'method':20}{'size':7}{'batch':>6}{'compiled':>9}" + "".join(f"{name:>9}" for name in COLUMNS)]
    lines += [step_line(step) for step in steps]
    lines += ["", *filter(None, map(result_line, results))]
    (session.out / "summary.txt").write_text("\n".join(lines) + "\n")
    rows = [bench_row(step) for step in steps]
    report = {"machine": machine, "torch": versions.get("torch"), "versions": versions, "rows": rows}
    (session.out / "bench_train_gpu.json").write_text(json.dumps(report, indent=2) + "\n")
    print("\n".join(lines))


def step_line(step: Mapping[str, Any]) -> str:
    """A row of the table."""
    cells = (
        f"{step[key] * factor:9.{digits}f}" if step[key] is not None else f"{'-':>9}"
        for key, factor, digits in COLUMNS.values()
    )
    return f"{step['method']:20}{step['size']:7}{step['batch']:6}{step['compiled']!s:>9}" + "".join(cells)


def result_line(result: Mapping[str, Any]) -> str:
    """Any other result; empty if it is not shown."""
    what = result["what"]
    if result.get("variant"):
        return (
            f"variant {result['variant']:58}{result['ms_back_to_back']:8.1f} ms  "
            f"{result['clips_per_second_back_to_back']:7.0f} clips/s  loss error {result['loss_error']:.1e}"
        )
    if what == "attention" and "both_ms" in result:
        return (
            f"attention {result['label']:20}{result['backend']:26}{result['forward_ms']:8.3f} ms "
            f"{result['both_ms']:8.3f} ms {result['both_tflops']:7.0f} TFLOP/s"
        )
    if what == "fit_series" and result.get("tag", "").startswith("throughput"):
        return f"fit {result['label']:10}{result['tag']:32}median {result['median']:.4g}  last {result['last']:.4g}"
    if what == "profile" and "kinds" in result:
        kinds = ", ".join(f"{kind} {fraction:.1%}" for kind, (_, _, fraction) in result["kinds"].items())
        return f"profile {result['label']}: idle {result['idle_fraction']:.1%}, {kinds}"
    if what in SHOWN or result.get("error"):
        values = {key: value for key, value in result.items() if key not in HIDDEN and value is not None}
        return " ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in values.items())[:300]
    return ""


def bench_row(step: Mapping[str, Any]) -> dict[str, Any]:
    """A row in the format of ``vmae-zoo bench train``, with times back to back."""
    numbers = ("ms", "ms_back_to_back", "ms_back_to_back_with_data", "data_ms", "host_ms")
    rates = ("clips_per_second", "clips_per_second_back_to_back", "gflop_per_clip", "peak_mb")
    return {
        "name": step["method"],
        "clips": step["batch"],
        "size": step["size"],
        "compile": step["compiled"],
        "steps": step["rounds"],
        "ms_spread": [round(step["ms_min"], 2), round(step["ms_max"], 2)],
        **{key: round(step[key], 2) for key in numbers},
        **{key: step[key] and round(step[key], 1) for key in rates},
        **{key: step[key] and round(step[key], 4) for key in ("mfu", "mfu_back_to_back")},
    }
