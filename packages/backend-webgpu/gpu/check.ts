/** The conformance suite on this machine's GPU, without vitest: `tooling/gpu`'s runner stands in for it in the bundle. */
import { runConformance } from "@infllm/conformance";
import { runCases } from "../../../tooling/gpu/src/runner.ts";
import { webgpuBackend } from "../src/index.ts";
import type { WebGpuBackend, WebGpuOptions } from "../src/index.ts";

export interface CheckReport {
  readonly cases: number;
  readonly failed: readonly { readonly case: string; readonly error: string }[];
  readonly seconds: number;
  readonly buffersAfterClose: number;
}

/** Runs every case, and prints those that fail. */
export async function check(options: WebGpuOptions, randomCases: number): Promise<CheckReport> {
  const start = performance.now();
  const failed: { case: string; error: string }[] = [];
  let cases = 0;
  let backend: WebGpuBackend | undefined;
  await runConformance({ name: "webgpu", randomCases, create: async () => (backend = await webgpuBackend(options)) });
  const isLost = (): boolean => {
    try {
      backend?.memory();
      return false;
    } catch {
      return true;
    }
  };
  await runCases({
    report({ name, error }) {
      cases++;
      if (error === undefined) return;
      failed.push({ case: name, error: error.slice(0, 400) });
      console.log(`FAIL ${name}\n     ${error.slice(0, 400)}`);
    },
    stop: isLost,
    wants: () => true,
  });
  return { cases, failed, seconds: (performance.now() - start) / 1000, buffersAfterClose: backend?.buffers() ?? -1 };
}
