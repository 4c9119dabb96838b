/** The webgpu backend on the GPU of this machine: kernels by GPU time and wall time, then the embedded model. */
import { probeWebGpu, webgpuBackend } from "@infllm/backend-webgpu";
import { gpuSizes, smallSizes, timeKernels, type Timing } from "@infllm/backend-webgpu/measure";
import type { SuiteOptions } from "../cpu/suite.ts";
import { modelResults } from "../embedded-model.ts";
import type { Result } from "../report.ts";
import { mustAttendRight } from "./attention.ts";

/** Where the CPU stands in for a GPU, a prompt of 2,048 tokens is to be read within a minute. */
const onCpu = { tokens: 2048, runs: 1, targets: { prefillRate: 2048 / 60 } };
const onGpu = { tokens: 16384, runs: 3 };

export async function webgpuSuite({ quick, progress }: SuiteOptions): Promise<Result[]> {
  const { software } = await probeWebGpu();
  const backend = await webgpuBackend();
  const { description, limitations } = backend.capabilities;
  progress([description, ...limitations].join(" "));
  await mustAttendRight(backend);
  const timings = await timeKernels(backend, software || quick ? smallSizes : gpuSizes, progress);
  const model = await modelResults(backend, { ...(software ? onCpu : onGpu), progress });
  return [...timings.flatMap(resultsOf), ...model];
}

function resultsOf({ what, wallMs, gpuMs, tflops }: Timing): Result[] {
  return [
    { name: `${what}: wall time`, value: wallMs, unit: "ms" },
    ...(gpuMs === undefined ? [] : [{ name: `${what}: GPU time`, value: gpuMs, unit: "ms" }]),
    ...(tflops === undefined ? [] : [{ name: what, value: 1000 * tflops, unit: "GFLOP/s" }]),
  ];
}
