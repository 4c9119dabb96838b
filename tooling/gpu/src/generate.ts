import { cudaBackend } from "@infllm/backend-cuda";
import { drafts } from "./drafts.ts";
import { greedyTokens } from "./greedy-tokens.ts";

export async function generate(): Promise<{ report: unknown; ok: boolean }> {
  const backend = await cudaBackend();
  const { prompts, ok } = await greedyTokens(backend);
  const { ok: drafted, ...repeating } = await drafts(backend);
  await backend.close();
  const left = backend.allocations();
  return { report: { prompts, ...repeating, allocationsAfterClose: left }, ok: ok && drafted && left === 0 };
}
