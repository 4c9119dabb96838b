/** What a GPU computes with these kernels, and what it goes without. */
import type { Capabilities } from "@infllm/tensor";
import { findCublasLt } from "./cublaslt.ts";
import { headDims } from "./cuda-cache.ts";
import type { Machine } from "./machine.ts";
import { pathOf } from "./paths.ts";

/** The shapes that the fastest kernels are made for. */
const FAST = { headDims: [64, 128], groups: [8, 16] } as const;

export function capabilitiesOf(machine: Machine): Capabilities {
  const { device, activation } = machine;
  const tiled = hasTiles(machine);
  return {
    ops: ["neural", "selection", "attention"],
    activation,
    weights: [activation, activation === "bf16" ? "f16" : "bf16", "f32", "q8_0", "q4_0", "q4_1", "q4_g128", "q4_k", "q5_k", "q6_k"],
    kvCache: [activation, "q8"],
    headDim: headDims,
    // Tiles gain from many rows; without them a row costs the same in any company.
    prefillRows: tiled ? 4096 : 1024,
    runsLater: true,
    description: `${device.name}, compute capability ${device.major}.${device.minor}, driver for CUDA ${device.driverVersion}, ${activation}`,
    limitations: [...prefillLimitations(tiled), ...productLimitations(machine)],
  };
}

/** Are the tiled prefill kernels built, and for this GPU? */
function hasTiles(machine: Machine): boolean {
  const shape = { dtype: machine.activation, headDim: 128, group: 16, kvHeads: 2, blockSize: 64 };
  return pathOf(machine, "attendDense", shape, 512) === "hopper";
}

function prefillLimitations(tiled: boolean): string[] {
  const fast = `head_dim ${FAST.headDims.join(" or ")} with ${FAST.groups.join(" or ")} query heads a KV head, blocks of 64 tokens`;
  if (tiled) return [`Models outside ${fast} prefill on slower kernels; paths() tells which.`];
  return [
    "Prefill runs the decode kernels row by row: the tiled ones need an H100, H200 or GH200 (compute capability 9.0).",
    `Models outside ${fast} run slower still.`,
  ];
}

/** @throws NotAvailableError when INFLLM_CUBLASLT names a library that does not load */
function productLimitations({ driver }: Machine): string[] {
  if (findCublasLt(driver) !== undefined) return [];
  if (process.env["INFLLM_CUBLASLT"] === "none") {
    return ["Our own kernels do the dense products, as INFLLM_CUBLASLT is none; without that, cuBLASLt would where it is installed."];
  }
  return [
    "Our own kernels do the dense products of prefill, as no cuBLASLt was found. It comes with the CUDA toolkit and with the " +
      "Python wheel nvidia-cublas; INFLLM_CUBLASLT names the library where it is not found by itself.",
  ];
}
