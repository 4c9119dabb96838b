import type { YarnScaling } from "@infllm/attention/methods";
import { ConfigError } from "@infllm/tensor";
import type { RopeConfig } from "./rope-config.ts";
import { yarnAmplitude } from "./rope-table.ts";

/** The rotation of a model that is stretched with YaRN, though its files do not say so. @throws ConfigError */
export function stretchedRope(rope: RopeConfig, yarn: YarnScaling | undefined): RopeConfig {
  if (yarn === undefined) return rope;
  if (rope.scaling.kind !== "none") {
    throw new ConfigError(
      `YaRN stretches the plain rotary embedding, but this model's is scaled already (${rope.scaling.kind}). Use the weights from before that.`,
    );
  }
  return { ...rope, scaling: { kind: "yarn", ...yarn, truncate: true, amplitude: yarnAmplitude(yarn.factor) } };
}
