import type { RopeConfig, RopeScaling } from "./rope-config.ts";

export interface RopeTable {
  /** f32 `[rotaryDim / 2]`: radians per position. */
  readonly frequencies: Float32Array;
  /** Multiplies cos and sin. */
  readonly amplitude: number;
}

type Yarn = Extract<RopeScaling, { kind: "yarn" }>;
type Llama3 = Extract<RopeScaling, { kind: "llama3" }>;

/**
 * The rotation of a model that runs with room for `contextLength` tokens. Scalings that depend on a length (dynamic,
 * longrope) take that one, once: cached keys keep the rotation they were stored with, so it cannot change later.
 */
export function ropeTable(rope: RopeConfig, contextLength: number): RopeTable {
  const { scaling } = rope;
  switch (scaling.kind) {
    case "none":
      return table(plain(rope.theta, rope.rotaryDim));
    case "linear":
      return table(plain(rope.theta, rope.rotaryDim).map((frequency) => frequency / scaling.factor));
    case "dynamic": {
      const length = Math.max(contextLength, scaling.originalContext);
      const growth = (scaling.factor * length) / scaling.originalContext - (scaling.factor - 1);
      return table(plain(rope.theta * growth ** (rope.rotaryDim / (rope.rotaryDim - 2)), rope.rotaryDim));
    }
    case "yarn":
      return table(yarn(rope, scaling), scaling.amplitude);
    case "longrope": {
      const factors = contextLength > scaling.originalContext ? scaling.longFactors : scaling.shortFactors;
      return table(divided(plain(rope.theta, rope.rotaryDim), factors), scaling.amplitude);
    }
    case "llama3":
      return table(plain(rope.theta, rope.rotaryDim).map((frequency) => llama3(frequency, scaling)));
    case "divisors":
      return table(divided(plain(rope.theta, rope.rotaryDim), scaling.divisors));
  }
}

function table(frequencies: number[], amplitude = 1): RopeTable {
  return { frequencies: Float32Array.from(frequencies), amplitude };
}

function plain(theta: number, dim: number): number[] {
  return Array.from({ length: dim / 2 }, (_, i) => theta ** ((-2 * i) / dim));
}

function divided(frequencies: readonly number[], divisors: readonly number[]): number[] {
  return frequencies.map((frequency, i) => frequency / (divisors[i] ?? 1));
}

/** YaRN (arXiv 2309.00071, section 3.2): slow rotations are interpolated, fast ones kept, a ramp in between. */
function yarn(rope: RopeConfig, scaling: Yarn): number[] {
  const dim = rope.rotaryDim;
  const dimensionOf = (rotations: number) =>
    (dim * Math.log(scaling.originalContext / (rotations * 2 * Math.PI))) / (2 * Math.log(rope.theta));
  const round = (value: number, how: (value: number) => number) => (scaling.truncate ? how(value) : value);
  const low = Math.max(round(dimensionOf(scaling.betaFast), Math.floor), 0);
  const high = Math.min(round(dimensionOf(scaling.betaSlow), Math.ceil), dim - 1);
  const width = high === low ? 0.001 : high - low;
  return plain(rope.theta, dim).map((frequency, i) => {
    const interpolated = Math.min(Math.max((i - low) / width, 0), 1);
    return (frequency / scaling.factor) * interpolated + frequency * (1 - interpolated);
  });
}

/** Llama 3.1: long wavelengths are divided by `factor`, short ones kept, those in between blended. */
function llama3(frequency: number, scaling: Llama3): number {
  const wavelength = (2 * Math.PI) / frequency;
  const { lowFrequencyFactor: low, highFrequencyFactor: high, originalContext, factor } = scaling;
  if (wavelength > originalContext / low) return frequency / factor;
  if (wavelength < originalContext / high) return frequency;
  const kept = (originalContext / wavelength - low) / (high - low);
  return ((1 - kept) * frequency) / factor + kept * frequency;
}

/** Amplitude that YaRN applies when a file does not state one: 0.1 · ln(factor) + 1. */
export function yarnAmplitude(factor: number, mscale = 1): number {
  return factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;
}

/** Amplitude of LongRoPE (arXiv 2402.13753) for a context stretched from `original` to `extended` tokens. */
export function longRopeAmplitude(extended: number, original: number): number {
  return extended <= original ? 1 : Math.sqrt(1 + Math.log(extended / original) / Math.log(original));
}
