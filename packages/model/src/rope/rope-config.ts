/** Rotary position embedding: the base frequencies and how they are stretched beyond the first training length. */
export interface RopeConfig {
  /** Base of the geometric series of wavelengths. */
  readonly theta: number;
  /** Elements of a head that are rotated; all of them in every supported family. */
  readonly rotaryDim: number;
  readonly scaling: RopeScaling;
}

/** Lengths are in tokens; factor lists have one entry per frequency (`rotaryDim / 2`). */
export type RopeScaling =
  | { readonly kind: "none" }
  /** Position interpolation: every frequency is divided by `factor`. */
  | { readonly kind: "linear"; readonly factor: number }
  /** Dynamic NTK: the base grows once the context exceeds `originalContext`. */
  | { readonly kind: "dynamic"; readonly factor: number; readonly originalContext: number }
  | {
      readonly kind: "yarn";
      readonly factor: number;
      readonly originalContext: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Whether the ramp's ends are rounded to whole dimensions. */
      readonly truncate: boolean;
      readonly amplitude: number;
    }
  /** Each frequency is divided by its own factor: long ones when the context exceeds `originalContext`. */
  | {
      readonly kind: "longrope";
      readonly shortFactors: readonly number[];
      readonly longFactors: readonly number[];
      readonly originalContext: number;
      readonly amplitude: number;
    }
  | {
      readonly kind: "llama3";
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContext: number;
    }
  /** Ready-made divisors, as GGUF files carry them. */
  | { readonly kind: "divisors"; readonly divisors: readonly number[] };
