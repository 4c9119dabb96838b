/** A backend whose dense attention is a method's. */
import { UnsupportedError, UsageError } from "@infllm/tensor";
import type { LayerCache } from "@infllm/block-selection";
import type { AttentionBackend } from "../contracts.ts";
import type { AttentionMethod, HostSteeredBackend, Rotation } from "./method.ts";
import { MethodCache, orderedBytes } from "./method-cache.ts";
import { sequenceRows } from "./sequence-rows.ts";

/**
 * The same backend, with `attendDense` done by the method; itself when the method has no attention of its own. Layers
 * are numbered in the order of their caches. A step that is recorded is enqueued anew each time it runs, and has run by
 * then: the backend says of itself that nothing runs later, so that no step begins which may be taken back, and with it
 * what a method keeps of every query.
 * @throws UnsupportedError when the backend lacks what methods run on
 */
export function methodBackend<B extends AttentionBackend>(backend: B, method: AttentionMethod, rotation: Rotation): B {
  if (method.begin === undefined) return backend;
  const inner = hostSteered(backend, method.name);
  const own = (cache: LayerCache): MethodCache => {
    if (cache instanceof MethodCache) return cache;
    throw new UsageError(`Method ${method.name}: the cache was not allocated by this backend.`);
  };
  const unwrapped = <Args extends { readonly cache: LayerCache }>(args: Args): Args => ({ ...args, cache: own(args.cache).inner });
  let layers = 0;
  const { selection, attention } = inner;
  return {
    ...backend,
    // What methods read is kept in full, so that fewer bits in the cache beside it would show in nothing.
    capabilities: { ...backend.capabilities, runsLater: false, kvCache: backend.capabilities.kvCache.filter((dtype) => dtype !== "q8") },
    selection: {
      allocateCache: (shape) => new MethodCache(inner, method, { layer: layers++, rotation }, selection.allocateCache(shape)),
      cacheBytes: (shape) => selection.cacheBytes(shape) + orderedBytes(shape),
      appendKv(args) {
        selection.appendKv(unwrapped(args));
        for (const rows of sequenceRows(inner, args.batch)) own(args.cache).append(rows, args);
      },
      compressKeys: (args) => selection.compressKeys(unwrapped(args)),
      selectBlocks: (args) => selection.selectBlocks(unwrapped(args)),
      readCache: (cache, ...rest) => selection.readCache(own(cache).inner, ...rest),
    },
    attention: {
      attendDense(args) {
        for (const rows of sequenceRows(inner, args.batch)) own(args.cache).attend(rows, args);
      },
      attendBlocks: (args) => attention.attendBlocks(unwrapped(args)),
    },
    record: (step) => ({ run: step, release() {} }),
  };
}

function hostSteered(backend: AttentionBackend, name: string): HostSteeredBackend {
  if (backend.host !== undefined) return backend as HostSteeredBackend;
  throw new UnsupportedError(
    `Method ${name} runs where the host can steer attention; this backend (${backend.capabilities.description}) has no such ops. ` +
      "Use the cpu backend.",
  );
}
