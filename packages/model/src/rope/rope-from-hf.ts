import { ConfigError, UnsupportedError } from "@infllm/tensor";
import type { Options } from "../config/options.ts";
import type { RopeConfig, RopeScaling } from "./rope-config.ts";
import { longRopeAmplitude, yarnAmplitude } from "./rope-table.ts";

const remedy = "Check that the file belongs to a supported model family.";
const kinds = ["default", "linear", "dynamic", "yarn", "longrope", "llama3"];

/** Reads `rope_theta` with `rope_scaling`, or the newer `rope_parameters` that holds both. */
export function ropeFromHf(config: Options, rotaryDim: number, trainedContext: number): RopeConfig {
  const scaling = config.object("rope_scaling");
  const parameters = config.object("rope_parameters");
  if (scaling !== undefined && parameters !== undefined) {
    throw new ConfigError(`${config.where} has both rope_scaling and rope_parameters; it must have one of them.`);
  }
  const theta = parameters?.has("rope_theta") ? parameters.positive("rope_theta") : config.positive("rope_theta", 10_000);
  const options = scaling ?? parameters;
  const read = options === undefined ? ({ kind: "none" } as const) : scalingFromHf(options, rotaryDim, trainedContext);
  return { theta, rotaryDim, scaling: read };
}

function scalingFromHf(options: Options, rotaryDim: number, trainedContext: number): RopeScaling {
  const kind = options.string("rope_type", options.has("type") ? options.string("type") : "default");
  options.ignore(["type", "rope_theta"]);
  options.allowOnly("partial_rotary_factor", [1]);
  const scaling = scalingOfKind(kind, options, rotaryDim, trainedContext);
  options.refuseOthers(remedy);
  return scaling;
}

function scalingOfKind(kind: string, options: Options, rotaryDim: number, trainedContext: number): RopeScaling {
  switch (kind) {
    case "default":
      return { kind: "none" };
    case "linear":
      return { kind: "linear", factor: options.positive("factor") };
    case "dynamic":
      options.ignore(["original_max_position_embeddings"]);
      return { kind: "dynamic", factor: options.positive("factor"), originalContext: trainedContext };
    case "yarn":
      return yarn(options, trainedContext);
    case "longrope":
      return longRope(options, rotaryDim, trainedContext);
    case "llama3":
      return llama3(options, trainedContext);
    default:
      throw new UnsupportedError(
        `RoPE type "${kind}" (${options.where}) is not supported; supported: ${kinds.join(", ")}. ${remedy}`,
      );
  }
}

function yarn(options: Options, trainedContext: number): RopeScaling {
  const factor = options.positive("factor");
  const mscale = options.number("mscale", 0);
  const mscaleAll = options.number("mscale_all_dim", 0);
  const byScales = mscale && mscaleAll ? yarnAmplitude(factor, mscale) / yarnAmplitude(factor, mscaleAll) : undefined;
  return {
    kind: "yarn",
    factor,
    originalContext: options.count("original_max_position_embeddings", trainedContext),
    betaFast: options.positive("beta_fast", 32),
    betaSlow: options.positive("beta_slow", 1),
    truncate: options.boolean("truncate", true),
    amplitude: options.positive("attention_factor", byScales ?? yarnAmplitude(factor)),
  };
}

function longRope(options: Options, rotaryDim: number, trainedContext: number): RopeScaling {
  const originalContext = options.count("original_max_position_embeddings", trainedContext);
  const factor = options.positive("factor", trainedContext / originalContext);
  return {
    kind: "longrope",
    shortFactors: factors(options, "short_factor", rotaryDim),
    longFactors: factors(options, "long_factor", rotaryDim),
    originalContext,
    amplitude: options.positive("attention_factor", longRopeAmplitude(factor * originalContext, originalContext)),
  };
}

function factors(options: Options, name: string, rotaryDim: number): number[] {
  const list = options.numbers(name);
  if (list.length !== rotaryDim / 2 || list.some((factor) => factor <= 0)) {
    throw new ConfigError(
      `${name} of ${options.where} has ${list.length} entries; it must have ${rotaryDim / 2} numbers above 0, one per frequency.`,
    );
  }
  return list;
}

function llama3(options: Options, trainedContext: number): RopeScaling {
  const low = options.positive("low_freq_factor");
  const high = options.positive("high_freq_factor");
  if (high <= low) {
    throw new ConfigError(`${options.where} has low_freq_factor ${low} and high_freq_factor ${high}; the second must be larger.`);
  }
  return {
    kind: "llama3",
    factor: options.positive("factor"),
    lowFrequencyFactor: low,
    highFrequencyFactor: high,
    originalContext: options.count("original_max_position_embeddings", trainedContext),
  };
}
