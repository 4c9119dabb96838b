/** The golden files: what a float64 oracle and, where shapes allowed, the original CUDA kernels made of the seeded inputs. */
import { readFile } from "node:fs/promises";
import { bytesSource, openSafetensors, toF32 } from "@infllm/tensor";
import type { LseMode } from "@infllm/block-selection";
import type { GoldenCase } from "./cases.ts";
import { mustBe } from "./compare.ts";

const folder = new URL("../goldens/", import.meta.url);

export async function goldenCases(): Promise<GoldenCase[]> {
  return JSON.parse(await readFile(new URL("cases.json", folder), "utf8")) as GoldenCase[];
}

/** What was recorded for the sampled rows. */
export interface GoldenAnswers {
  /** f32 `[rows, heads, head_dim]` */
  readonly out: Float32Array;
  /** `[kv_heads, rows, budget]`, ascending, −1 padded */
  readonly indices: Int32Array;
  /** f32 `[kv_heads, rows, blocks]`, pooled, before forcing; −Infinity where no window */
  readonly scores: Float32Array;
}

export interface Golden {
  /** Sampled query rows. */
  readonly rows: number[];
  readonly answers: Readonly<Record<LseMode, GoldenAnswers>>;
  /** The original kernels' bf16 output for the case's own LSE, where their shape limits allowed a run. */
  readonly peer?: GoldenAnswers;
}

export async function loadGolden(name: string): Promise<Golden> {
  const file = await openSafetensors(bytesSource(await readFile(new URL(`${name}.safetensors`, folder)), `${name}.safetensors`));
  const numbers = async (tensor: string): Promise<Float32Array> => {
    const { dtype, shape } = mustBe(file.tensors.get(tensor));
    return toF32(dtype, await file.read(tensor), shape.reduce((a, b) => a * b, 1));
  };
  const answers = async (prefix: string): Promise<GoldenAnswers> => ({
    out: await numbers(`${prefix}out`),
    indices: Int32Array.from(await numbers(`${prefix}indices`)),
    scores: await numbers(`${prefix}scores`),
  });
  return {
    rows: Array.from(await numbers("rows")),
    answers: { approx: await answers("approx."), exact: await answers("exact.") },
    ...(file.tensors.has("peer_out") ? { peer: await answers("peer_") } : {}),
  };
}
