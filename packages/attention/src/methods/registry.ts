/** Every method by name. */
import { ConfigError } from "@infllm/tensor";
import { full } from "./full.ts";
import { infllmV1 } from "./infllm-v1.ts";
import { infllmV2, infllmV2Exact } from "./infllm-v2.ts";
import type { AttentionMethod } from "./method.ts";
import { minference } from "./minference.ts";
import { nsa } from "./nsa.ts";
import { slidingWindow } from "./sliding-window.ts";
import { yarn } from "./yarn.ts";

export const methods = {
  full,
  "infllm-v2": infllmV2,
  "infllm-v2-exact": infllmV2Exact,
  "sliding-window": slidingWindow,
  yarn,
  "infllm-v1": infllmV1,
  minference,
  nsa,
} as const;

export type MethodName = keyof typeof methods;

export const methodNames = Object.keys(methods) as readonly MethodName[];

/** A method by its name, with options as a command line or file states them. @throws ConfigError */
export function createMethod(name: string, options: Readonly<Record<string, unknown>> = {}): AttentionMethod {
  const make = Object.entries(methods).find(([known]) => known === name)?.[1];
  if (make === undefined) throw new ConfigError(`There is no attention method "${name}"; there are ${methodNames.join(", ")}.`);
  return (make as (options: Readonly<Record<string, unknown>>) => AttentionMethod)(options);
}
