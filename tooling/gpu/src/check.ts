/** The conformance suite on the GPU, for bf16 and f16 at the same time. */
import { cudaBackend } from "@infllm/backend-cuda";
import { checkInShards, checkShard as runOneShard } from "./shards.ts";

export const activations = ["bf16", "f16"] as const;
export type Activation = (typeof activations)[number];

export async function check(): Promise<{ report: unknown; ok: boolean }> {
  const runs = await Promise.all(activations.map(async (activation) => ({ activation, ...(await checkInShards(activation)) })));
  return {
    report: Object.fromEntries(runs.map(({ activation, report }) => [activation, report])),
    ok: runs.every(({ ok }) => ok),
  };
}

export function checkShard(activation: Activation, shard: number, shards: number): Promise<never> {
  return runOneShard({
    name: `cuda, ${activation}`,
    shard,
    shards,
    create: () => cudaBackend({ activation }),
    held: (backend) => backend.allocations(),
  });
}
