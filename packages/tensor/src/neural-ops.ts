/**
 * The ops of a transformer layer outside attention. Activations are `[rows, width]` in the backend's activation
 * type unless said otherwise, and may be column views. `out` never overlaps an input unless the op says "in place".
 */
import type { WeightDType } from "./dtype.ts";
import type { DeviceTensor, WeightMatrix } from "./backend.ts";

export interface EmbedArgs {
  /** i32 `[rows]`, each in `[0, table.rows)`. */
  readonly ids: DeviceTensor;
  readonly table: WeightMatrix;
  /** Multiplies every embedding; 1 for most families (MiniCPM: `scale_emb`). */
  readonly scale: number;
  /** `[rows, table.columns]` */
  readonly out: DeviceTensor;
}

export interface RmsNormArgs {
  /** `[rows, width]`. With `residual`, updated in place first: `x += residual.scale * residual.delta`. */
  readonly x: DeviceTensor;
  readonly residual?: { readonly delta: DeviceTensor; readonly scale: number };
  /** f32 `[width]` */
  readonly weight: DeviceTensor;
  readonly epsilon: number;
  /** `[rows, width]` = x / sqrt(mean(x²) + epsilon) * weight */
  readonly out: DeviceTensor;
}

export interface LinearArgs {
  /** `[rows, weight.columns]` */
  readonly x: DeviceTensor;
  readonly weight: WeightMatrix;
  /** f32 `[weight.rows]` */
  readonly bias?: DeviceTensor;
  /** `[rows, weight.rows]` = x · weightᵀ + bias, in the activation type or f32 */
  readonly out: DeviceTensor;
}

export interface GatedLinearArgs {
  /** `[rows, weight.columns]` */
  readonly x: DeviceTensor;
  /** The gate's rows, then as many of the other projection. */
  readonly weight: WeightMatrix;
  /** `[rows, weight.rows]`, where the projections may be kept meanwhile; what it holds afterwards is not defined. */
  readonly gateUp: DeviceTensor;
  /** `[rows, weight.rows / 2]` = swiglu(x · weightᵀ), the projections rounded to the activation type as `linear` rounds them */
  readonly out: DeviceTensor;
}

/** The RMS norm of a product's input. */
export interface NormBefore {
  /** f32 `[x.columns]` */
  readonly weight: DeviceTensor;
  readonly epsilon: number;
}

export interface NormLinearArgs extends LinearArgs {
  readonly norm: NormBefore;
}

export interface NormGatedLinearArgs extends Omit<GatedLinearArgs, "gateUp"> {
  readonly norm: NormBefore;
}

export interface AddLinearArgs extends LinearArgs {
  /** `[rows, weight.rows]` in the activation type, updated in place: `out += scale · (x · weightᵀ + bias)` */
  readonly out: DeviceTensor;
  readonly scale: number;
}

/** Products together with what a decoder's layer does before and after, for rows so few that every launch counts. */
export interface FusedProducts {
  /** Do the ops below take this weight with so many rows, and gain over their parts? */
  suits(weight: WeightMatrix, rows: number): boolean;
  /** `linear` of the normed rows, which are not rounded in between. */
  normLinear(args: NormLinearArgs): void;
  /** `gatedLinear` likewise; the gate and the other projection are rounded to the activation type. */
  normGatedLinear(args: NormGatedLinearArgs): void;
  /** The product is rounded to the activation type before it is added, and then the sum. */
  addLinear(args: AddLinearArgs): void;
}

export interface RotateArgs {
  /** `[rows, heads * headDim]`, rotated in place (rotate-half: element i pairs with i + rotaryDim/2). */
  readonly x: DeviceTensor;
  readonly heads: number;
  readonly headDim: number;
  /** i32 `[rows]`: absolute position of each row. */
  readonly positions: DeviceTensor;
  /**
   * f32 `[rotaryDim / 2]`: radians per position; rotaryDim ≤ headDim, the rest of a head passes unchanged.
   * An angle is the f32 product position × frequency, as checkpoints were trained with; its cos and sin are of that.
   */
  readonly frequencies: DeviceTensor;
  /** Multiplies cos and sin (YaRN, LongRoPE attention factor); 1 otherwise. */
  readonly amplitude: number;
  /** RMS norm of each head before rotation (Qwen3): f32 weight `[headDim]`. */
  readonly norm?: { readonly weight: DeviceTensor; readonly epsilon: number };
}

export interface SwigluArgs {
  /** `[rows, 2 * width]`: gate, then up. */
  readonly gateUp: DeviceTensor;
  /** `[rows, width]` = gate * sigmoid(gate) * up */
  readonly out: DeviceTensor;
}

export interface SampleArgs {
  /** f32 `[rows, vocabulary]` */
  readonly logits: DeviceTensor;
  /**
   * f32 `[rows, 4]`: temperature, topK, topP, uniform in [0, 1).
   * Temperature 0 takes the largest logit (lowest id on a tie). Otherwise: divide by temperature, softmax, keep the
   * topK most likely (0 = all; ties to the lower id), then the fewest of these whose probability reaches topP (of the
   * kept mass), and take the first, in that descending order, where the cumulated probability exceeds `uniform`.
   */
  readonly settings: DeviceTensor;
  /** i32 `[rows]`; −1 where no logit of the row is finite or one is NaN. */
  readonly out: DeviceTensor;
}

export interface NeuralOps {
  /** Memory for a weight, to be filled with `writeRows`. @throws OutOfMemoryError, UnsupportedError (dtype, columns) */
  allocateWeight(rows: number, columns: number, dtype: WeightDType): WeightMatrix;
  embed(args: EmbedArgs): void;
  rmsNorm(args: RmsNormArgs): void;
  linear(args: LinearArgs): void;
  /** `linear` and `swiglu` at once; only where a backend gains by that. */
  readonly gatedLinear?: ((args: GatedLinearArgs) => void) | undefined;
  readonly fused?: FusedProducts | undefined;
  rotate(args: RotateArgs): void;
  swiglu(args: SwigluArgs): void;
  sample(args: SampleArgs): void;
}
