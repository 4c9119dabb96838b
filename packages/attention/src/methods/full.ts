/** Full attention: every query reads every token up to its own. */
import type { AttentionMethod } from "./method.ts";
import { methodOptions } from "./options.ts";

export function full(options: Readonly<Record<never, never>> = {}): AttentionMethod {
  methodOptions("full", options, {});
  return { name: "full", options: {}, model: { attention: "dense" } };
}
