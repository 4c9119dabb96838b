import { cudaBackend } from "@infllm/backend-cuda";
import { greedyTokens } from "./greedy-tokens.ts";

export async function generate(): Promise<{ report: unknown; ok: boolean }> {
  const backend = await cudaBackend();
  const { prompts, ok } = await greedyTokens(backend);
  await backend.close();
  return { report: { prompts, allocationsAfterClose: backend.allocations() }, ok: ok && backend.allocations() === 0 };
}
