/**
 * Optional ops for attention that the host steers, token lists in hand: other methods than InfLLM-V2, and measuring.
 * Only a backend whose ops have run by the time they return can offer them.
 */
import type { DeviceTensor, HostArray } from "@infllm/tensor";

/** i32 words of one tile: first row, rows, first head, heads (all of one KV head), first entry of `tokens`, entries. */
export const TILE_WORDS = 6;

export interface AttendListedArgs {
  /** `[rows, heads * headDim]`; query head h uses KV head floor(h / (heads / kvHeads)). */
  readonly q: DeviceTensor;
  /** `[tokens, kvHeads * headDim]`, in token order */
  readonly k: DeviceTensor;
  readonly v: DeviceTensor;
  readonly headDim: number;
  readonly scale: number;
  /** `[tiles, TILE_WORDS]`. Tiles must not overlap; outputs of rows and heads in no tile are left as they are. */
  readonly tiles: Int32Array;
  /** Rows of k and v, ascending within a tile; tiles may share entries. */
  readonly tokens: Int32Array;
  /** `[rows, 2]`: first and last token that a row may see of those listed. */
  readonly bounds: Int32Array;
  /** Tokens below this are seen by every row up to its last, also before its first; 0 when absent. */
  readonly always?: number | undefined;
  /** `[rows, heads * headDim]`: softmax over the listed tokens that the row sees; 0 where it sees none. */
  readonly out: DeviceTensor;
  /** f32 `[rows, heads]` when wanted: ln Σ exp(scale · q·k) over the same tokens; −Infinity where there are none. */
  readonly lse?: Float32Array | undefined;
}

export interface HostOps {
  /** Copies a tensor out at once, in the dtype's own bits, without the gaps of a view. */
  readNow(tensor: DeviceTensor): HostArray;
  attendListed(args: AttendListedArgs): void;
}
