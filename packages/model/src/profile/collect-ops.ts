import type { ModelBackend } from "../forward/model-backend.ts";
import type { PendingOp } from "./op-times.ts";

/** What the groups of ops hold beside ops. */
const otherCalls: readonly string[] = ["allocateWeight", "allocateCache", "cacheBytes", "readCache", "suits"];

/** The same backend, but its ops are put on a list instead of being run; memory is as ever. */
export function collectingBackend(backend: ModelBackend): { readonly backend: ModelBackend; readonly ops: readonly PendingOp[] } {
  const ops: PendingOp[] = [];
  const collecting = <Group extends object>(group: Group): Group => {
    const members = Object.entries(group).map(([op, run]: [string, (...args: unknown[]) => unknown]) => {
      if (otherCalls.includes(op)) return [op, run];
      return [op, (...args: unknown[]) => void ops.push({ op, run: () => void run(...args) })];
    });
    return Object.fromEntries(members) as Group;
  };
  const { neural, selection, attention } = backend;
  const products = neural.fused === undefined ? {} : { fused: collecting(neural.fused) };
  return { ops, backend: { ...backend, neural: { ...collecting(neural), ...products }, selection: collecting(selection), attention: collecting(attention) } };
}
