/** Attention methods as a command line names them: `infllm-v2`, or `window:sinks=64:window=1024`. */
import { createMethod, methodNames, type AttentionMethod } from "@infllm/attention/methods";
import { BadUsageError, usageErrors } from "@infllm/command";
import { cacheDTypes, type CacheDType } from "@infllm/tensor";
import { Option } from "commander";
import type { Figures } from "../results/record.ts";

export interface MethodChoice {
  /** As it was given: names the method in results. */
  readonly label: string;
  readonly method: AttentionMethod;
  /** Type of the KV cache that it runs on: the option `kvCache`, which every method takes. The backend's choice when absent. */
  readonly kvCache?: CacheDType;
}

/** The options of a method that fit a model; what the command line states wins over them. */
export type MethodDefaults = (name: string) => Readonly<Record<string, unknown>>;

export function methodsOption(byDefault?: readonly string[]): Option {
  const option = new Option(
    "--methods <list>",
    `attention methods between commas, options behind colons, such as full,infllm-v2:topk=32; known are ${methodNames.join(", ")}` +
      (byDefault === undefined ? " (default: all that suit the model)" : ""),
  ).argParser((text: string) => text.split(",").map((item) => item.trim()));
  return byDefault === undefined ? option : option.default(byDefault, byDefault.join(","));
}

/** @throws BadUsageError for an unknown method or option, and for a method given twice */
export function chooseMethods(labels: readonly string[], defaults: MethodDefaults = () => ({})): MethodChoice[] {
  const twice = labels.find((label, index) => labels.indexOf(label) !== index);
  if (twice !== undefined) throw new BadUsageError(`--methods names "${twice}" twice.`);
  return labels.map((label) => {
    const [name = "", ...settings] = label.split(":");
    const { kvCache, ...given } = Object.fromEntries(settings.map((setting) => parseSetting(label, setting)));
    const method = usageErrors(() => createMethod(name, { ...defaults(name), ...given }));
    return { label, method, ...(kvCache !== undefined && { kvCache: parseCacheType(label, kvCache) }) };
  });
}

/** Every option of a method, as results state them. */
export function optionsOf({ method, kvCache }: MethodChoice): Figures {
  return JSON.parse(JSON.stringify({ ...method.options, kvCache })) as Figures;
}

/** @throws BadUsageError */
function parseCacheType(label: string, given: unknown): CacheDType {
  const known = cacheDTypes.find((dtype) => dtype === given);
  if (known === undefined) throw new BadUsageError(`--methods: "${label}" has no type of KV cache in kvCache; allowed are ${cacheDTypes.join(", ")}.`);
  return known;
}

/** `window=1024` as a name and a value; numbers, true and false are read as such. */
function parseSetting(label: string, setting: string): [string, unknown] {
  const at = setting.indexOf("=");
  if (at < 1) throw new BadUsageError(`--methods: "${label}" has the option "${setting}"; write options as name=value, such as infllm-v2:topk=32.`);
  const [name, value] = [setting.slice(0, at), setting.slice(at + 1)];
  if (value === "true" || value === "false") return [name, value === "true"];
  return [name, value !== "" && Number.isFinite(Number(value)) ? Number(value) : value];
}
