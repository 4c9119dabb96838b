/** The webgpu backend on the GPU of this machine: kernels by GPU time and wall time, then the embedded model. */
import { probeWebGpu, webgpuBackend } from "@infllm/backend-webgpu";
import { bench, gpuSizes, smallSizes } from "../../../../packages/backend-webgpu/gpu/bench.ts";
import type { Timing } from "../../../../packages/backend-webgpu/gpu/bench.ts";
import type { SuiteOptions } from "../cpu/suite.ts";
import { modelResults } from "../embedded-model.ts";
import type { Result } from "../report.ts";
import { mustAttendRight } from "./attention.ts";

/** A prompt of 2,048 tokens is to be read in a minute even where the CPU stands in for a GPU. */
const MODEL = { tokens: 2048, targets: { prefillRate: 2048 / 60 } };

export async function webgpuSuite({ quick, progress }: SuiteOptions): Promise<Result[]> {
  const { software } = await probeWebGpu();
  const backend = await webgpuBackend();
  const { description, limitations } = backend.capabilities;
  progress([description, ...limitations].join(" "));
  await mustAttendRight(backend);
  const timings = await bench(backend, software || quick ? smallSizes : gpuSizes, progress);
  const model = await modelResults(backend, { ...MODEL, runs: software ? 1 : 3, progress });
  return [...timings.flatMap(resultsOf), ...model];
}

function resultsOf({ what, wallMs, gpuMs, tflops }: Timing): Result[] {
  return [
    { name: `${what}: wall time`, value: wallMs, unit: "ms" },
    ...(gpuMs === undefined ? [] : [{ name: `${what}: GPU time`, value: gpuMs, unit: "ms" }]),
    ...(tflops === undefined ? [] : [{ name: what, value: tflops, unit: "TFLOP/s" }]),
  ];
}
