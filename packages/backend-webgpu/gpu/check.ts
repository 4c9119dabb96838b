/** The conformance suite on this machine's GPU, without vitest: a runner of `tooling/gpu` stands in for it in the bundle. */
import { checkShard as runOneShard } from "../../../tooling/gpu/src/shards.ts";
import { webgpuBackend } from "../src/index.ts";

export { checkInShards } from "../../../tooling/gpu/src/shards.ts";

export const activations = ["f32", "f16"] as const;
export type Activation = (typeof activations)[number];

/** The work of one process, which it ends. */
export function checkShard(activation: Activation, dawnFlags: readonly string[], shard: number, shards: number): Promise<never> {
  return runOneShard({
    name: `webgpu, ${activation}`,
    shard,
    shards,
    create: () => webgpuBackend({ activation, dawnFlags }),
    held: (backend) => backend.buffers(),
  });
}
