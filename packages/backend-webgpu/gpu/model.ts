/** The embedded model's greedy tokens on this machine's GPU. */
import { greedyTokens } from "../../../tooling/gpu/src/greedy-tokens.ts";
import { webgpuBackend } from "../src/index.ts";
import type { WebGpuOptions } from "../src/index.ts";

export async function model(options: WebGpuOptions): Promise<{ report: unknown; ok: boolean }> {
  const backend = await webgpuBackend(options);
  const { prompts, ok } = await greedyTokens(backend);
  await backend.close();
  return { report: { prompts, allocationsAfterClose: backend.buffers() }, ok: ok && backend.buffers() === 0 };
}
