/** What a GPU computes with these kernels, and what it goes without. */
import type { Capabilities } from "@infllm/tensor";
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
    weights: [activation, activation === "bf16" ? "f16" : "bf16", "f32", "q8_0", "q4_0", "q4_1", "q4_k", "q5_k", "q6_k"],
    kvCache: [activation],
    headDim: headDims,
    // Tiles gain from many rows; without them a row costs the same in any company.
    prefillRows: tiled ? 4096 : 1024,
    description: `${device.name}, compute capability ${device.major}.${device.minor}, driver for CUDA ${device.driverVersion}, ${activation}`,
    limitations: limitationsOf(tiled),
  };
}

/** Are the tiled prefill kernels built, and for this GPU? */
function hasTiles(machine: Machine): boolean {
  const shape = { dtype: machine.activation, headDim: 128, group: 16, kvHeads: 2, blockSize: 64 };
  return pathOf(machine, "attendDense", shape, 512) === "hopper";
}

function limitationsOf(tiled: boolean): string[] {
  const fast = `head_dim ${FAST.headDims.join(" or ")} with ${FAST.groups.join(" or ")} query heads a KV head, blocks of 64 tokens`;
  if (tiled) return [`Models outside ${fast} prefill on slower kernels; paths() tells which.`];
  return [
    "Prefill runs the decode kernels row by row: the tiled ones need an H100, H200 or GH200 (compute capability 9.0).",
    `Models outside ${fast} run slower still.`,
  ];
}
